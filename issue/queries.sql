-- name: key
SELECT issue_id FROM issue_key WHERE key = $1

-- name: insert_key
INSERT INTO issue_key (key, issue_id) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING

-- name: take_key
INSERT INTO issue_key (key, issue_id) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET issue_id = excluded.issue_id WHERE issue_key.issue_id <> excluded.issue_id

-- name: move_keys
UPDATE issue_key SET issue_id = $1 WHERE issue_id = $2

-- name: row
SELECT seq, state, reason, decided, state_at, merged_into, doc FROM issue WHERE id = $1

-- name: insert
INSERT INTO issue (id, seq, state, reason, decided, state_at, merged_into, repository, risk, updated_at, doc)
VALUES ($1, $2, $3, $4, 0, $5, '', $6, $7, $8, $9)

-- name: update
UPDATE issue SET state = $1, reason = $2, decided = $3, state_at = $4, repository = $5, risk = $6, updated_at = $7, doc = $8 WHERE id = $9

-- name: merge
UPDATE issue SET merged_into = $1, updated_at = $2 WHERE id = $3

-- name: set_state
UPDATE issue SET state = $1, reason = $2, decided = 1, state_at = $3 WHERE id = $4

-- name: list
SELECT state, reason, doc FROM issue WHERE merged_into = '' AND ($1 = '' OR repository = $1) ORDER BY risk DESC, id

-- name: insert_event
INSERT INTO issue_event (idempotency_key, id, issue_id, at, actor, from_state, to_state, reason, evidence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: event_by_key
SELECT issue_id, to_state, reason FROM issue_event WHERE idempotency_key = $1

-- name: events
SELECT id, at, actor, from_state, to_state, reason, evidence, idempotency_key FROM issue_event WHERE issue_id = $1 ORDER BY id
