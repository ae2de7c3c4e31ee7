-- name: detectors_of_target
SELECT d.tool, d.format, a.kind, a.key, a.name
FROM (SELECT detector_id, min(asset_id) AS asset_id FROM scope WHERE target = $1 GROUP BY detector_id) s
JOIN detector d ON d.id = s.detector_id JOIN asset a ON a.id = s.asset_id
ORDER BY d.tool, d.format

-- name: assets_of_target
SELECT DISTINCT a.kind, a.key, a.name
FROM scope s JOIN detector d ON d.id = s.detector_id JOIN asset a ON a.id = s.asset_id
WHERE d.tool = $1 AND s.target = $2
ORDER BY a.kind, a.key, a.name
