-- Outside effects with what decides whether they may go and who is at them. A
-- row in doubt belongs to its holder until settle_at; fence counts the holders.
ALTER TABLE delivery RENAME TO delivery_before;
CREATE TABLE delivery (
  key {text} NOT NULL PRIMARY KEY,
  kind {text} NOT NULL,
  target {text} NOT NULL,
  payload {text} NOT NULL,
  doc {text} NOT NULL,
  plan {text} NOT NULL,
  base {text} NOT NULL,
  requester {text} NOT NULL,
  undo_of {text} NOT NULL,
  state {text} NOT NULL,
  why {text} NOT NULL,
  not_before {time} NOT NULL,
  attempts {int} NOT NULL,
  fence {int} NOT NULL,
  holder {text} NOT NULL,
  deadline {time} NOT NULL,
  settle_at {time} NOT NULL,
  intended_at {time} NOT NULL,
  stands {int} NOT NULL,
  override_by {text} NOT NULL,
  ref {text} NOT NULL,
  url {text} NOT NULL,
  reply {text} NOT NULL,
  events {int} NOT NULL,
  created_at {time} NOT NULL,
  at {time} NOT NULL
) {table};
INSERT INTO delivery (key, kind, target, payload, doc, plan, base, requester, undo_of, state, why, not_before, attempts, fence, holder,
  deadline, settle_at, intended_at, stands, override_by, ref, url, reply, events, created_at, at)
SELECT key, kind, target, payload, '', payload, '', '', '', CASE state WHEN 'pending' THEN 'doubt' ELSE state END, '', 0, attempts, 1, '',
  at, at, at, 0, '', '', '', reply, 0, at, at FROM delivery_before;
DROP TABLE delivery_before;
CREATE INDEX delivery_by_state ON delivery (state, settle_at);
CREATE INDEX delivery_by_target ON delivery (kind, target, intended_at);
CREATE INDEX delivery_by_intent ON delivery (intended_at);

-- Append-only: what became of a delivery, by whom and why.
CREATE TABLE delivery_event (
  key {text} NOT NULL,
  n {int} NOT NULL,
  at {time} NOT NULL,
  actor {text} NOT NULL,
  from_state {text} NOT NULL,
  to_state {text} NOT NULL,
  fence {int} NOT NULL,
  why {text} NOT NULL,
  PRIMARY KEY (key, n)
) {clustered};

-- What people said of a delivery, with all that it is bound to.
CREATE TABLE delivery_approval (
  key {text} NOT NULL,
  n {int} NOT NULL,
  verdict {text} NOT NULL,
  approver {text} NOT NULL,
  at {time} NOT NULL,
  expires {time} NOT NULL,
  binding {text} NOT NULL,
  plan {text} NOT NULL,
  base {text} NOT NULL,
  reason {text} NOT NULL,
  voided_at {time} NOT NULL,
  void_why {text} NOT NULL,
  PRIMARY KEY (key, n)
) {clustered};

-- Append-only: the kill switch; the last row holds.
CREATE TABLE delivery_halt (
  n {int} NOT NULL PRIMARY KEY,
  at {time} NOT NULL,
  actor {text} NOT NULL,
  halted {int} NOT NULL,
  reason {text} NOT NULL
) {table}
