-- name: get
SELECT key, kind, target, payload, doc, plan, base, requester, undo_of, state, why, not_before, attempts, fence, holder, deadline, settle_at,
  intended_at, stands, override_by, ref, url, reply, events, created_at, at
FROM delivery WHERE key = $1

-- name: list
SELECT key, kind, target, payload, doc, plan, base, requester, undo_of, state, why, not_before, attempts, fence, holder, deadline, settle_at,
  intended_at, stands, override_by, ref, url, reply, events, created_at, at
FROM delivery ORDER BY created_at, key

-- name: insert
INSERT INTO delivery (key, kind, target, payload, doc, plan, base, requester, undo_of, state, why, not_before, attempts, fence, holder, deadline,
  settle_at, intended_at, stands, override_by, ref, url, reply, events, created_at, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)

-- name: update
UPDATE delivery SET kind = $1, target = $2, payload = $3, doc = $4, plan = $5, base = $6, requester = $7, state = $8, why = $9, not_before = $10,
  attempts = $11, fence = $12, holder = $13, deadline = $14, settle_at = $15, intended_at = $16, stands = $17, override_by = $18, ref = $19,
  url = $20, reply = $21, events = $22, at = $23
WHERE key = $24 AND fence = $25

-- name: due_settle
SELECT key FROM delivery WHERE state IN ('sending', 'doubt') AND settle_at <= $1 ORDER BY settle_at, key

-- name: due_held
SELECT key FROM delivery WHERE state IN ('held', 'approved', 'awaiting_approval') AND not_before <= $1 ORDER BY created_at, key

-- name: nth_intent_of_target
SELECT intended_at FROM delivery WHERE kind = $1 AND target = $2 AND intended_at > $3 AND key <> $4 ORDER BY intended_at DESC LIMIT 1 OFFSET $5

-- name: nth_intent
SELECT intended_at FROM delivery WHERE intended_at > $1 AND key <> $2 ORDER BY intended_at DESC LIMIT 1 OFFSET $3

-- name: open_of_target
SELECT count(*) FROM delivery WHERE kind = $1 AND target = $2 AND stands = 1 AND key <> $3

-- name: usage
SELECT kind, target, count(*) FILTER (WHERE intended_at > $1), count(*) FILTER (WHERE intended_at > $2), count(*) FILTER (WHERE stands = 1),
  count(*) FILTER (WHERE state = 'held')
FROM delivery GROUP BY kind, target ORDER BY kind, target

-- name: insert_event
INSERT INTO delivery_event (key, n, at, actor, from_state, to_state, fence, why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: events
SELECT n, at, actor, from_state, to_state, fence, why FROM delivery_event WHERE key = $1 ORDER BY n

-- name: insert_approval
INSERT INTO delivery_approval (key, n, verdict, approver, at, expires, binding, plan, base, reason, voided_at, void_why)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, '')

-- name: approvals
SELECT n, verdict, approver, at, expires, binding, plan, base, reason, voided_at, void_why FROM delivery_approval WHERE key = $1 ORDER BY n

-- name: void_approvals
UPDATE delivery_approval SET voided_at = $1, void_why = $2 WHERE key = $3 AND voided_at = 0

-- name: halt
SELECT n, at, actor, halted, reason FROM delivery_halt ORDER BY n DESC LIMIT 1

-- name: halts
SELECT n, at, actor, halted, reason FROM delivery_halt ORDER BY n

-- name: insert_halt
INSERT INTO delivery_halt (n, at, actor, halted, reason) VALUES ($1, $2, $3, $4, $5)
