-- name: insert_ruling
INSERT INTO ruling (id, at, actor, kind, key, verb, owner_kind, owner_id, owner_name, role, reason, taught)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: rulings_of
SELECT id, at, actor, kind, key, verb, owner_kind, owner_id, owner_name, role, reason, taught FROM ruling
WHERE kind = $1 AND key = $2 ORDER BY id

-- name: rulings_of_issue
WITH RECURSIVE merged (id, depth) AS (
  SELECT id, 0 FROM issue WHERE id = $1
  UNION ALL
  SELECT i.id, m.depth + 1 FROM merged m JOIN issue i ON i.merged_into = m.id WHERE m.depth < 100
)
SELECT r.id, r.at, r.actor, r.kind, r.key, r.verb, r.owner_kind, r.owner_id, r.owner_name, r.role, r.reason, r.taught
FROM ruling r WHERE r.kind = 'issue' AND r.key IN (SELECT id FROM merged) ORDER BY r.id

-- name: every_ruling
SELECT id, at, actor, kind, key, verb, owner_kind, owner_id, owner_name, role, reason, taught FROM ruling ORDER BY id

-- name: teachings
SELECT kind, taught FROM ruling WHERE taught <> '{}' ORDER BY id

-- name: projects_stated
SELECT a.id, n.doc FROM asset a JOIN node n ON n.asset_id = a.id WHERE a.kind = 'project' AND n.gone_run = 0 ORDER BY a.id, n.scope_id

-- name: last_ruling
SELECT max(id) FROM ruling

-- name: parties
SELECT a.id, a.kind, a.key, a.name, n.doc, n.gone_run, s.name FROM asset a JOIN node n ON n.asset_id = a.id
JOIN source_scope c ON c.id = n.scope_id JOIN source s ON s.id = c.source_id
WHERE a.kind IN ('person', 'team') ORDER BY a.id, n.scope_id

-- name: party_links
SELECT e.src, k.name, e.dst, e.gone_run FROM edge e JOIN edge_kind k ON k.id = e.kind JOIN asset a ON a.id = e.src JOIN asset b ON b.id = e.dst
WHERE a.kind IN ('person', 'team') AND b.kind IN ('person', 'team') AND k.name IN ('member_of', 'part_of') ORDER BY e.src, e.dst

-- name: stated
SELECT n.doc FROM asset a JOIN node n ON n.asset_id = a.id WHERE a.kind = $1 AND a.key = $2 AND n.gone_run = 0 ORDER BY n.scope_id

-- name: every_asset
SELECT id, kind, key, name FROM asset ORDER BY id

-- name: every_affected
SELECT DISTINCT asset_id FROM scope

-- name: stated_often
SELECT asset_id FROM node GROUP BY asset_id HAVING count(*) > 1

-- name: every_stated
SELECT asset_id, doc FROM node WHERE gone_run = 0

-- name: every_claim
SELECT subject, doc FROM claim WHERE gone_run = 0

-- name: every_link
SELECT src, kind, dst, evidence_id, scope_id FROM edge WHERE gone_run = 0

-- name: every_evidence
SELECT id, doc FROM evidence

-- name: link_kinds
SELECT id, name FROM edge_kind

-- name: vouched
SELECT DISTINCT c.doc ->> 'source', c.doc -> 'owner' ->> 'Kind', c.doc -> 'owner' ->> 'ID', c.doc -> 'owner' ->> 'Name'
FROM asset a JOIN claim c ON c.subject = a.id WHERE a.kind IN ('project', 'service') AND c.gone_run = 0 ORDER BY 2, 3, 4, 1

-- name: generation
SELECT next FROM id_block WHERE name = 'graph_change'

-- name: asset_id
SELECT id FROM asset WHERE kind = $1 AND key = $2

-- name: asset_there
SELECT 1 FROM asset a WHERE a.id = $1
AND (EXISTS (SELECT 1 FROM node n WHERE n.asset_id = a.id AND n.gone_run = 0) OR EXISTS (SELECT 1 FROM scope s WHERE s.asset_id = a.id))

-- name: asset_of
SELECT kind, key, name FROM asset WHERE id = $1

-- name: links_out
SELECT e.kind, e.dst, v.doc -> 'evidence' ->> 'strength', v.doc -> 'properties' ->> 'same' FROM node n
JOIN edge e ON e.scope_id = n.scope_id AND e.src = n.asset_id JOIN evidence v ON v.id = e.evidence_id
WHERE n.asset_id = $1 AND e.gone_run = 0

-- name: links_in
SELECT e.kind, e.src, v.doc -> 'evidence' ->> 'strength', v.doc -> 'properties' ->> 'same' FROM edge e JOIN evidence v ON v.id = e.evidence_id
WHERE e.dst = $1 AND e.kind = $2 AND e.gone_run = 0

-- name: claims_on
SELECT doc FROM claim WHERE subject = $1 AND gone_run = 0 ORDER BY scope_id, who

-- name: owned_by
SELECT a.kind, a.key, a.name, s.name, v.doc FROM node n
JOIN edge e ON e.scope_id = n.scope_id AND e.src = n.asset_id JOIN edge_kind k ON k.id = e.kind JOIN asset a ON a.id = e.dst
JOIN evidence v ON v.id = e.evidence_id JOIN source_scope c ON c.id = e.scope_id JOIN source s ON s.id = c.source_id
WHERE n.asset_id = $1 AND e.gone_run = 0 AND k.name = 'owned_by' AND a.kind IN ('person', 'team') ORDER BY a.kind, a.key, s.name

-- name: scope_sources
SELECT c.id, s.name FROM source_scope c JOIN source s ON s.id = c.source_id

-- name: assets_from
SELECT key, name FROM asset WHERE kind = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4

-- name: every_checkout
SELECT repository, dir, commit_id FROM checkout ORDER BY repository
