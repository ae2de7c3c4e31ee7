-- name: get
SELECT doc FROM remediation WHERE id = $1

-- name: put
INSERT INTO remediation (id, repository, state, changed, doc) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET repository = excluded.repository, state = excluded.state, changed = excluded.changed, doc = excluded.doc

-- name: list
SELECT doc FROM remediation ORDER BY changed DESC, id

-- name: event_by_key
SELECT remediation FROM remediation_event WHERE key = $1

-- name: last
SELECT COALESCE(MAX(seq), 0) FROM remediation_event WHERE remediation = $1

-- name: add_event
INSERT INTO remediation_event (key, remediation, seq, at, doc) VALUES ($1, $2, $3, $4, $5)

-- name: events
SELECT doc FROM remediation_event WHERE remediation = $1 ORDER BY seq
