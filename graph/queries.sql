-- name: source
SELECT id FROM source WHERE name = $1

-- name: insert_source
INSERT INTO source (id, name) VALUES ($1, $2)

-- name: scope
SELECT id FROM source_scope WHERE source_id = $1 AND name = $2

-- name: insert_scope
INSERT INTO source_scope (id, source_id, name) VALUES ($1, $2, $3)

-- name: scope_names
SELECT s.name, c.name FROM source_scope c JOIN source s ON s.id = c.source_id WHERE c.id = $1

-- name: latest_start
SELECT started FROM source_run ORDER BY started DESC, id DESC LIMIT 1

-- name: insert_run
INSERT INTO source_run (id, source_id, started, ended) VALUES ($1, $2, $3, 0)

-- name: end_runs
UPDATE source_run SET ended = $1 WHERE source_id = $2 AND ended = 0

-- name: end_old_runs
UPDATE source_run SET ended = $1 WHERE source_id = $2 AND ended = 0 AND started < $3

-- name: run_started
SELECT started FROM source_run WHERE id = $1

-- name: run_as_of
SELECT id FROM source_run WHERE started <= $1 ORDER BY started DESC, id DESC LIMIT 1

-- name: covered
SELECT c.name FROM source_run u JOIN source_scope c ON c.source_id = u.source_id
JOIN source_run_scope r ON r.scope_id = c.id AND r.run_id = u.id
WHERE u.source_id = $1 AND u.ended = 0

-- name: cover
INSERT INTO source_run_scope (scope_id, run_id) VALUES ($1, $2) ON CONFLICT (scope_id, run_id) DO NOTHING

-- name: last_covered
SELECT max(run_id) FROM source_run_scope WHERE scope_id = $1 AND run_id <= $2

-- name: generation
SELECT next FROM id_block WHERE name = 'graph_change'

-- name: asset
SELECT id, name FROM asset WHERE kind = $1 AND key = $2

-- name: insert_asset
INSERT INTO asset (id, kind, key, name) VALUES ($1, $2, $3, $4)

-- name: rename_asset
UPDATE asset SET name = $1 WHERE id = $2

-- name: asset_by_id
SELECT kind, key, name FROM asset WHERE id = $1

-- name: assets_named
SELECT id, kind, key, name FROM asset WHERE name = $1 ORDER BY kind, key LIMIT 51

-- name: assets_like
SELECT id, kind, key, name FROM asset
WHERE key LIKE $1 ESCAPE '!' OR key LIKE $2 ESCAPE '!' OR name LIKE $1 ESCAPE '!' ORDER BY kind, key LIMIT 51

-- name: assets_like_of_kind
SELECT id, kind, key, name FROM asset
WHERE kind = $1 AND (key LIKE $2 ESCAPE '!' OR key LIKE $3 ESCAPE '!' OR name LIKE $2 ESCAPE '!') ORDER BY key LIMIT 51

-- name: every_asset
SELECT id, kind, key, name FROM asset ORDER BY kind, key LIMIT $1

-- name: assets_after
SELECT id, key FROM asset WHERE kind = $1 AND key > $2 ORDER BY key LIMIT $3

-- name: gone
SELECT max(gone_run) FROM node WHERE asset_id = $1

-- name: told
SELECT 1 FROM asset a WHERE a.id = $1
AND (EXISTS (SELECT 1 FROM node n WHERE n.asset_id = a.id) OR EXISTS (SELECT 1 FROM scope s WHERE s.asset_id = a.id))

-- name: affected
SELECT min(u.at) FROM scope s JOIN run_scope r ON r.scope_id = s.id JOIN run u ON u.id = r.run_id WHERE s.asset_id = $1

-- name: kinds
SELECT id, name FROM edge_kind ORDER BY id

-- name: insert_kind
INSERT INTO edge_kind (id, name) VALUES ($1, $2)

-- name: evidence
SELECT id FROM evidence WHERE digest = $1

-- name: insert_evidence
INSERT INTO evidence (id, digest, doc) VALUES ($1, $2, $3)

-- name: evidence_doc
SELECT doc FROM evidence WHERE id = $1

-- name: nodes_page
SELECT asset_id, doc, since_run, gone_run FROM node WHERE scope_id = $1 AND asset_id > $2 ORDER BY asset_id LIMIT $3

-- name: insert_node
INSERT INTO node (scope_id, asset_id, doc, first_run, since_run, gone_run) VALUES ($1, $2, $3, $4, $4, 0)

-- name: change_node
UPDATE node SET doc = $1, since_run = $2, gone_run = 0 WHERE scope_id = $3 AND asset_id = $4

-- name: bury_node
UPDATE node SET gone_run = $1 WHERE scope_id = $2 AND asset_id = $3

-- name: past_node
INSERT INTO node_past (scope_id, asset_id, since_run, until_run, doc) VALUES ($1, $2, $3, $4, $5)

-- name: node_lives
SELECT 1 FROM asset a WHERE a.id = $1
AND (EXISTS (SELECT 1 FROM node n WHERE n.asset_id = a.id AND n.gone_run = 0) OR EXISTS (SELECT 1 FROM scope s WHERE s.asset_id = a.id))

-- name: nodes_of_asset
SELECT scope_id, doc, first_run, since_run, gone_run FROM node
WHERE asset_id = $1 AND since_run <= $2 AND (gone_run = 0 OR gone_run > $2) ORDER BY scope_id

-- name: past_nodes_of_asset
SELECT p.scope_id, p.doc, n.first_run, p.since_run, p.until_run FROM node_past p JOIN node n ON n.scope_id = p.scope_id AND n.asset_id = p.asset_id
WHERE p.asset_id = $1 AND p.since_run <= $2 AND p.until_run > $2 ORDER BY p.scope_id

-- name: edges_page
SELECT src, kind, dst, evidence_id, since_run, gone_run FROM edge
WHERE scope_id = $1 AND (src, kind, dst) > ($2, $3, $4) ORDER BY src, kind, dst LIMIT $5

-- name: insert_edge
INSERT INTO edge (scope_id, src, kind, dst, evidence_id, first_run, since_run, gone_run) VALUES ($1, $2, $3, $4, $5, $6, $6, 0)

-- name: change_edge
UPDATE edge SET evidence_id = $1, since_run = $2, gone_run = 0 WHERE scope_id = $3 AND src = $4 AND kind = $5 AND dst = $6

-- name: bury_edge
UPDATE edge SET gone_run = $1 WHERE scope_id = $2 AND src = $3 AND kind = $4 AND dst = $5

-- name: past_edge
INSERT INTO edge_past (scope_id, src, kind, dst, since_run, until_run, evidence_id) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: edge_lives
SELECT 1 FROM edge WHERE dst = $1 AND kind = $2 AND src = $3 AND gone_run = 0 LIMIT 1

-- name: edges_out
SELECT e.scope_id, e.kind, e.dst, e.evidence_id, e.first_run, e.since_run, e.gone_run
FROM node n JOIN edge e ON e.scope_id = n.scope_id AND e.src = n.asset_id
WHERE n.asset_id = $1 AND e.since_run <= $2 AND (e.gone_run = 0 OR e.gone_run > $2) LIMIT $3

-- name: edges_in
SELECT scope_id, kind, src, evidence_id, first_run, since_run, gone_run FROM edge
WHERE dst = $1 AND since_run <= $2 AND (gone_run = 0 OR gone_run > $2) LIMIT $3

-- name: edges_between
SELECT scope_id, kind, dst, evidence_id, first_run, since_run, gone_run FROM edge
WHERE dst = $1 AND kind = $2 AND src = $3 AND since_run <= $4 AND (gone_run = 0 OR gone_run > $4) ORDER BY scope_id

-- name: past_edges_out
SELECT p.scope_id, p.kind, p.dst, p.evidence_id, e.first_run, p.since_run, p.until_run
FROM edge_past p JOIN edge e ON e.scope_id = p.scope_id AND e.src = p.src AND e.kind = p.kind AND e.dst = p.dst
WHERE p.src = $1 AND p.since_run <= $2 AND p.until_run > $2 LIMIT $3

-- name: past_edges_in
SELECT p.scope_id, p.kind, p.src, p.evidence_id, e.first_run, p.since_run, p.until_run
FROM edge_past p JOIN edge e ON e.scope_id = p.scope_id AND e.src = p.src AND e.kind = p.kind AND e.dst = p.dst
WHERE p.dst = $1 AND p.since_run <= $2 AND p.until_run > $2 LIMIT $3

-- name: past_edges_between
SELECT p.scope_id, p.kind, p.dst, p.evidence_id, e.first_run, p.since_run, p.until_run
FROM edge_past p JOIN edge e ON e.scope_id = p.scope_id AND e.src = p.src AND e.kind = p.kind AND e.dst = p.dst
WHERE p.dst = $1 AND p.kind = $2 AND p.src = $3 AND p.since_run <= $4 AND p.until_run > $4 ORDER BY p.scope_id

-- name: every_edge
SELECT src, kind, dst FROM edge WHERE since_run <= $1 AND (gone_run = 0 OR gone_run > $1)

-- name: every_past_edge
SELECT src, kind, dst FROM edge_past WHERE since_run <= $1 AND until_run > $1

-- name: every_node
SELECT asset_id FROM node WHERE since_run <= $1 AND (gone_run = 0 OR gone_run > $1)

-- name: every_past_node
SELECT asset_id FROM node_past WHERE since_run <= $1 AND until_run > $1

-- name: every_affected
SELECT DISTINCT asset_id FROM scope

-- name: every_affected_as_of
SELECT DISTINCT s.asset_id FROM scope s JOIN run_scope r ON r.scope_id = s.id JOIN run u ON u.id = r.run_id WHERE u.at <= $1

-- name: every_kind
SELECT id, kind FROM asset ORDER BY id

-- name: nodes_saying
SELECT asset_id FROM node WHERE gone_run = 0 AND doc LIKE $1 ESCAPE '!'

-- name: claims_page
SELECT subject, who, doc, since_run, gone_run FROM claim WHERE scope_id = $1 AND (subject, who) > ($2, $3) ORDER BY subject, who LIMIT $4

-- name: insert_claim
INSERT INTO claim (scope_id, subject, who, doc, first_run, since_run, gone_run) VALUES ($1, $2, $3, $4, $5, $5, 0)

-- name: change_claim
UPDATE claim SET doc = $1, since_run = $2, gone_run = 0 WHERE scope_id = $3 AND subject = $4 AND who = $5

-- name: bury_claim
UPDATE claim SET gone_run = $1 WHERE scope_id = $2 AND subject = $3 AND who = $4

-- name: past_claim
INSERT INTO claim_past (scope_id, subject, who, since_run, until_run, doc) VALUES ($1, $2, $3, $4, $5, $6)

-- name: claims_of_subject
SELECT scope_id, doc, first_run, since_run, gone_run FROM claim
WHERE subject = $1 AND since_run <= $2 AND (gone_run = 0 OR gone_run > $2) ORDER BY scope_id, who

-- name: past_claims_of_subject
SELECT p.scope_id, p.doc, c.first_run, p.since_run, p.until_run FROM claim_past p JOIN claim c ON c.scope_id = p.scope_id AND c.subject = p.subject AND c.who = p.who
WHERE p.subject = $1 AND p.since_run <= $2 AND p.until_run > $2 ORDER BY p.scope_id, p.who

-- name: stage
INSERT INTO graph_stage (scope_id, what, a, b, c, n, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: stage_page
SELECT a, b, c, n, doc FROM graph_stage
WHERE scope_id = $1 AND what = $2 AND (a, b, c, n) > ($3, $4, $5, $6) ORDER BY a, b, c, n LIMIT $7

-- name: stage_size
SELECT count(*) FROM (SELECT DISTINCT a FROM graph_stage WHERE scope_id = $1 AND what = $2) d

-- name: scope_size
SELECT count(*) FROM node WHERE scope_id = $1 AND gone_run = 0

-- name: clear_stage
DELETE FROM graph_stage WHERE scope_id = $1

-- name: clear_stages
DELETE FROM graph_stage WHERE scope_id IN (SELECT id FROM source_scope WHERE source_id = $1)
