-- name: remember
INSERT INTO checkout (repository, dir, commit_id, at) VALUES ($1, $2, $3, $4)
ON CONFLICT (repository) DO UPDATE SET dir = excluded.dir, commit_id = excluded.commit_id, at = excluded.at

-- name: recall
SELECT dir FROM checkout WHERE repository = $1

-- name: last_look
SELECT commit_id, at FROM checkout WHERE repository = $1

-- name: looked
SELECT repository FROM checkout LIMIT 1
