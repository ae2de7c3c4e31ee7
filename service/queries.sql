-- name: edits
SELECT id, at, actor, reason, verb, service, into_service, member_kind, member_key, name FROM service_edit ORDER BY id

-- name: insert_edit
INSERT INTO service_edit (id, at, actor, reason, verb, service, into_service, member_kind, member_key, name) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
