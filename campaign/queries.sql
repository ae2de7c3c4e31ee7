-- name: get
SELECT doc FROM campaign WHERE name = $1

-- name: put
INSERT INTO campaign (name, created, doc) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET doc = excluded.doc

-- name: list
SELECT doc FROM campaign ORDER BY created DESC, name
