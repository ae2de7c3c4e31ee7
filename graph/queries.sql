-- name: source
SELECT id FROM source WHERE name = $1

-- name: insert_source
INSERT INTO source (id, name) VALUES ($1, $2)

-- name: sources
SELECT id, name FROM source ORDER BY name

-- name: scope
SELECT id FROM source_scope WHERE source_id = $1 AND name = $2

-- name: insert_scope
INSERT INTO source_scope (id, source_id, name) VALUES ($1, $2, $3)

-- name: scopes
SELECT c.id, s.name, c.name FROM source_scope c JOIN source s ON s.id = c.source_id

-- name: open_run
SELECT id FROM source_run WHERE source_id = $1 AND finished = 0 ORDER BY id DESC LIMIT 1

-- name: last_run
SELECT id, started, finished FROM source_run WHERE source_id = $1 ORDER BY id DESC LIMIT 1

-- name: insert_run
INSERT INTO source_run (id, source_id, started, finished) VALUES ($1, $2, $3, 0)

-- name: finish_run
UPDATE source_run SET finished = $1 WHERE id = $2

-- name: runs
SELECT id, started FROM source_run ORDER BY id

-- name: covered
SELECT c.name FROM source_run_scope r JOIN source_scope c ON c.id = r.scope_id WHERE r.run_id = $1

-- name: cover
INSERT INTO source_run_scope (scope_id, run_id) VALUES ($1, $2) ON CONFLICT (scope_id, run_id) DO NOTHING

-- name: last_covered
SELECT scope_id, max(run_id) FROM source_run_scope GROUP BY scope_id

-- name: asset
SELECT id, name FROM asset WHERE kind = $1 AND key = $2

-- name: insert_asset
INSERT INTO asset (id, kind, key, name) VALUES ($1, $2, $3, $4)

-- name: rename_asset
UPDATE asset SET name = $1 WHERE id = $2

-- name: asset_by_id
SELECT kind, key, name FROM asset WHERE id = $1

-- name: assets_named
SELECT id, kind, key, name FROM asset WHERE ($1 = '' OR kind = $1) AND (key = $2 OR name = $2) ORDER BY kind, key LIMIT 50

-- name: assets_like
SELECT id, kind, key, name FROM asset WHERE ($1 = '' OR kind = $1) AND (key LIKE $2 ESCAPE '!' OR name LIKE $2 ESCAPE '!') ORDER BY kind, key LIMIT 50

-- name: text
SELECT id FROM graph_text WHERE digest = $1

-- name: insert_text
INSERT INTO graph_text (id, digest, doc) VALUES ($1, $2, $3)

-- name: text_doc
SELECT doc FROM graph_text WHERE id = $1

-- name: nodes_of_scope
SELECT asset_id, text_id, gone_run FROM node WHERE scope_id = $1 ORDER BY asset_id

-- name: insert_node
INSERT INTO node (scope_id, asset_id, text_id, first_run, changed_run, gone_run) VALUES ($1, $2, $3, $4, $5, 0)

-- name: change_node
UPDATE node SET text_id = $1, changed_run = $2, gone_run = 0 WHERE scope_id = $3 AND asset_id = $4

-- name: bury_node
UPDATE node SET gone_run = $1 WHERE scope_id = $2 AND asset_id = $3

-- name: nodes_of_asset
SELECT scope_id, text_id, first_run, changed_run, gone_run FROM node WHERE asset_id = $1 ORDER BY scope_id

-- name: edges_of_scope
SELECT src, kind, dst, text_id, gone_run FROM edge WHERE scope_id = $1 ORDER BY src, kind, dst

-- name: insert_edge
INSERT INTO edge (scope_id, src, kind, dst, text_id, first_run, changed_run, gone_run) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)

-- name: change_edge
UPDATE edge SET text_id = $1, changed_run = $2, gone_run = 0 WHERE scope_id = $3 AND src = $4 AND kind = $5 AND dst = $6

-- name: bury_edge
UPDATE edge SET gone_run = $1 WHERE scope_id = $2 AND src = $3 AND kind = $4 AND dst = $5

-- name: edges_out
SELECT scope_id, kind, dst, text_id, first_run, changed_run, gone_run FROM edge WHERE src = $1 ORDER BY kind, dst, scope_id

-- name: edges_in
SELECT scope_id, kind, src, text_id, first_run, changed_run, gone_run FROM edge WHERE dst = $1 ORDER BY kind, src, scope_id

-- name: edges_between
SELECT scope_id, text_id, first_run, changed_run, gone_run FROM edge WHERE src = $1 AND kind = $2 AND dst = $3 ORDER BY scope_id

-- name: live_edges
SELECT DISTINCT src, kind, dst FROM edge WHERE gone_run = 0 ORDER BY src, kind, dst

-- name: edges_as_of
SELECT DISTINCT src, kind, dst FROM edge WHERE first_run <= $1 AND (gone_run = 0 OR gone_run > $1) ORDER BY src, kind, dst

-- name: live_assets
SELECT a.id, a.kind FROM asset a WHERE EXISTS (SELECT 1 FROM node n WHERE n.asset_id = a.id AND n.gone_run = 0) ORDER BY a.id

-- name: assets_as_of
SELECT a.id, a.kind FROM asset a WHERE EXISTS (SELECT 1 FROM node n WHERE n.asset_id = a.id AND n.first_run <= $1 AND (n.gone_run = 0 OR n.gone_run > $1)) ORDER BY a.id

-- name: kind_of_asset
SELECT kind FROM asset WHERE id = $1

-- name: claims_of_scope
SELECT subject, text_id, gone_run FROM claim WHERE scope_id = $1 ORDER BY subject, text_id

-- name: insert_claim
INSERT INTO claim (scope_id, subject, text_id, first_run, gone_run) VALUES ($1, $2, $3, $4, 0)

-- name: revive_claim
UPDATE claim SET gone_run = 0 WHERE scope_id = $1 AND subject = $2 AND text_id = $3

-- name: bury_claim
UPDATE claim SET gone_run = $1 WHERE scope_id = $2 AND subject = $3 AND text_id = $4

-- name: claims_of_subject
SELECT scope_id, text_id, first_run, gone_run FROM claim WHERE subject = $1 ORDER BY scope_id, text_id
