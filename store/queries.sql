-- name: reserve_ids
INSERT INTO id_block (name, next) VALUES ($1, 1 + CAST($2 AS BIGINT))
ON CONFLICT (name) DO UPDATE SET next = id_block.next + CAST($2 AS BIGINT)
RETURNING next

-- name: insert_blob
INSERT INTO blob (id, digest, size, codec, stored_at, complete) VALUES ($1, NULL, 0, $2, $3, 0)

-- name: finish_blob
UPDATE blob SET digest = $1, size = $2, complete = 1 WHERE id = $3

-- name: blob_by_digest
SELECT id, size FROM blob WHERE digest = $1

-- name: blob
SELECT digest, size, codec FROM blob WHERE id = $1 AND complete = 1

-- name: insert_chunk
INSERT INTO blob_chunk (blob_id, n, data) VALUES ($1, $2, $3)

-- name: chunk
SELECT data FROM blob_chunk WHERE blob_id = $1 AND n = $2

-- name: delete_chunks
DELETE FROM blob_chunk WHERE blob_id = $1

-- name: delete_blob
DELETE FROM blob WHERE id = $1
