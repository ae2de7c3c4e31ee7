-- name: asset
SELECT id, name FROM asset WHERE kind = $1 AND key = $2

-- name: insert_asset
INSERT INTO asset (id, kind, key, name) VALUES ($1, $2, $3, $4)

-- name: rename_asset
UPDATE asset SET name = $1 WHERE id = $2

-- name: detector
SELECT id FROM detector WHERE tool = $1 AND format = $2

-- name: insert_detector
INSERT INTO detector (id, tool, format) VALUES ($1, $2, $3)

-- name: scope
SELECT id FROM scope WHERE asset_id = $1 AND detector_id = $2 AND target = $3

-- name: scopes_of_target
SELECT id, asset_id FROM scope WHERE detector_id = $1 AND target = $2 ORDER BY asset_id

-- name: insert_scope
INSERT INTO scope (id, asset_id, detector_id, target) VALUES ($1, $2, $3, $4)

-- name: insert_run
INSERT INTO run (id, at, detector_id, tool_version, rules, report, blob_id, started, complete, seen, added, changed, reopened, unconfirmed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: insert_run_scope
INSERT INTO run_scope (scope_id, run_id, complete) VALUES ($1, $2, $3)

-- name: last_complete_run
SELECT max(run_id) FROM run_scope WHERE scope_id = $1 AND complete = 1

-- name: flaw
SELECT id, epss FROM flaw WHERE digest = $1

-- name: insert_flaw
INSERT INTO flaw (id, digest, kind, rule, epss, doc) VALUES ($1, $2, $3, $4, $5, $6)

-- name: update_epss
UPDATE flaw SET epss = $1 WHERE id = $2

-- name: part
SELECT id FROM part WHERE digest = $1

-- name: insert_part
INSERT INTO part (id, digest, doc) VALUES ($1, $2, $3)

-- name: stored
SELECT fp, n, chash, scope_id, state, seen_run FROM finding
WHERE asset_id = $1 AND detector_id = $2 ORDER BY fp, n

-- name: insert_finding
INSERT INTO finding (asset_id, detector_id, fp, n, chash, scope_id, flaw_id, package_id, place_id, extra_id, fixed,
  line, end_line, severity, state, analysis, first_run, seen_run, changed_run, read_run, item, off, len)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15, $16, $16, $16, $16, $17, $18, $19)

-- name: update_finding
UPDATE finding SET chash = $1, scope_id = $2, flaw_id = $3, package_id = $4, place_id = $5, extra_id = $6, fixed = $7,
  line = $8, end_line = $9, severity = $10, state = 1, analysis = $11, seen_run = $12, changed_run = $12, read_run = $12, item = $13, off = $14, len = $15
WHERE asset_id = $16 AND detector_id = $17 AND fp = $18 AND n = $19

-- name: unconfirm_finding
UPDATE finding SET state = 2, seen_run = $1, changed_run = $2
WHERE asset_id = $3 AND detector_id = $4 AND fp = $5 AND n = $6

-- name: insert_event
INSERT INTO finding_event (id, run_id, asset_id, detector_id, fp, n, kind) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: class
SELECT class_id FROM alias WHERE id = $1

-- name: class_members
SELECT id FROM alias WHERE class_id = $1 ORDER BY id

-- name: insert_alias
INSERT INTO alias (id, class_id) VALUES ($1, $2)

-- name: merge_class
UPDATE alias SET class_id = $1 WHERE class_id = $2

-- name: aliases
SELECT id, class_id FROM alias ORDER BY class_id, id

-- name: statements
SELECT digest FROM statement WHERE asset_id = $1 AND detector_id = $2

-- name: insert_statement
INSERT INTO statement (asset_id, detector_id, digest, run_id, advisory, doc) VALUES ($1, $2, $3, $4, $5, $6)

-- name: delete_statement
DELETE FROM statement WHERE asset_id = $1 AND detector_id = $2 AND digest = $3

-- name: statements_of_asset
SELECT doc, run_id FROM statement WHERE asset_id = $1 ORDER BY run_id, detector_id, digest

-- name: assets
SELECT id, kind, key, name FROM asset ORDER BY kind, key

-- name: findings
SELECT f.fp, f.n, d.tool, d.format, f.flaw_id, f.package_id, f.place_id, f.extra_id, f.fixed, f.line, f.end_line, f.severity, f.state,
  f.analysis, first.at, coalesce(latest.at, seen.at), changed.at, source.report, f.item, f.off, f.len, source.blob_id, w.kind, w.rule, w.epss, f.changed_run
FROM finding f
JOIN detector d ON d.id = f.detector_id
JOIN flaw w ON w.id = f.flaw_id
JOIN run first ON first.id = f.first_run
JOIN run seen ON seen.id = f.seen_run
JOIN run changed ON changed.id = f.changed_run
JOIN run source ON source.id = f.read_run
LEFT JOIN run latest ON f.state = 1 AND latest.id = (SELECT max(s.run_id) FROM run_scope s WHERE s.scope_id = f.scope_id AND s.complete = 1 AND s.run_id >= f.seen_run)
WHERE f.asset_id = $1
ORDER BY f.detector_id, f.fp, f.n

-- name: flaw_doc
SELECT doc FROM flaw WHERE id = $1

-- name: part_doc
SELECT doc FROM part WHERE id = $1
