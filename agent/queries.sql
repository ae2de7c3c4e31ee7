-- name: remember
INSERT INTO checkout (repository, dir, commit_id, at) VALUES ($1, $2, $3, $4)
ON CONFLICT (repository) DO UPDATE SET dir = excluded.dir, commit_id = excluded.commit_id, at = excluded.at

-- name: recall
SELECT dir FROM checkout WHERE repository = $1

-- name: last_look
SELECT commit_id, at FROM checkout WHERE repository = $1

-- name: looked
SELECT repository FROM checkout LIMIT 1

-- name: heard
INSERT INTO hook (source, id, at) VALUES ($1, $2, $3) ON CONFLICT (source, id) DO NOTHING

-- name: forget_heard
DELETE FROM hook WHERE at < $1
