-- name: intend
INSERT INTO delivery (key, kind, target, payload, state, attempts, reply, at) VALUES ($1, $2, $3, $4, 'pending', 1, '', $5)
ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, state = 'pending', attempts = delivery.attempts + 1, at = excluded.at

-- name: answer
UPDATE delivery SET state = $1, reply = $2, at = $3 WHERE key = $4

-- name: list
SELECT key, kind, target, payload, state, attempts, reply, at FROM delivery ORDER BY at, key
