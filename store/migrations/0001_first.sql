-- Sequences of ids, handed out in blocks.
CREATE TABLE id_block (
  name {text} NOT NULL PRIMARY KEY,
  next {int} NOT NULL
) {table};

-- Raw reports and other bytes, in chunks compressed each on its own.
CREATE TABLE blob (
  id {id} NOT NULL PRIMARY KEY,
  digest {blob},
  size {int} NOT NULL,
  codec {text} NOT NULL,
  stored_at {time} NOT NULL,
  complete {int} NOT NULL
) {table};
CREATE UNIQUE INDEX blob_by_digest ON blob (digest);
CREATE TABLE blob_chunk (
  blob_id {id} NOT NULL,
  n {int} NOT NULL,
  data {blob} NOT NULL,
  PRIMARY KEY (blob_id, n)
) {table};

CREATE TABLE asset (
  id {id} NOT NULL PRIMARY KEY,
  kind {text} NOT NULL,
  key {text} NOT NULL,
  name {text} NOT NULL
) {table};
CREATE UNIQUE INDEX asset_by_key ON asset (kind, key);

CREATE TABLE detector (
  id {id} NOT NULL PRIMARY KEY,
  tool {text} NOT NULL,
  format {text} NOT NULL
) {table};
CREATE UNIQUE INDEX detector_by_name ON detector (tool, format);

-- What a detector looks at in an asset. Not seeing a finding says something
-- only about findings of the same scope.
CREATE TABLE scope (
  id {id} NOT NULL PRIMARY KEY,
  asset_id {id} NOT NULL,
  detector_id {id} NOT NULL,
  target {text} NOT NULL
) {table};
CREATE UNIQUE INDEX scope_by_key ON scope (asset_id, detector_id, target);

CREATE TABLE run (
  id {id} NOT NULL PRIMARY KEY,
  at {time} NOT NULL,
  detector_id {id} NOT NULL,
  tool_version {text} NOT NULL,
  rules {text} NOT NULL,
  report {text} NOT NULL,
  blob_id {id},
  started {time} NOT NULL,
  complete {int} NOT NULL,
  seen {int} NOT NULL,
  added {int} NOT NULL,
  changed {int} NOT NULL,
  reopened {int} NOT NULL,
  unconfirmed {int} NOT NULL
) {table};

-- Which scopes a run covered; the newest complete one gives "last seen".
CREATE TABLE run_scope (
  scope_id {id} NOT NULL,
  run_id {id} NOT NULL,
  complete {int} NOT NULL,
  PRIMARY KEY (scope_id, run_id)
) {clustered};

-- What a detector says about a flaw apart from where it is, once per text.
CREATE TABLE flaw (
  id {id} NOT NULL PRIMARY KEY,
  digest {blob} NOT NULL,
  kind {text} NOT NULL,
  rule {text} NOT NULL,
  epss {real} NOT NULL,
  doc {json} NOT NULL
) {table};
CREATE UNIQUE INDEX flaw_by_digest ON flaw (digest);

-- Packages, places and attributes of findings, once per text.
CREATE TABLE part (
  id {id} NOT NULL PRIMARY KEY,
  digest {blob} NOT NULL,
  doc {json} NOT NULL
) {table};
CREATE UNIQUE INDEX part_by_digest ON part (digest);

-- The hot table: kept and written in the order of its key, no other index.
CREATE TABLE finding (
  asset_id {id} NOT NULL,
  detector_id {id} NOT NULL,
  fp {blob} NOT NULL,
  n {int} NOT NULL,
  chash {blob} NOT NULL,
  scope_id {id} NOT NULL,
  flaw_id {id} NOT NULL,
  package_id {id} NOT NULL,
  place_id {id} NOT NULL,
  extra_id {id} NOT NULL,
  fixed {text},
  line {int} NOT NULL,
  end_line {int} NOT NULL,
  severity {int} NOT NULL,
  state {int} NOT NULL,
  analysis {json},
  first_run {id} NOT NULL,
  seen_run {id} NOT NULL,
  changed_run {id} NOT NULL,
  read_run {id} NOT NULL,
  item {text},
  off {int} NOT NULL,
  len {int} NOT NULL,
  PRIMARY KEY (asset_id, detector_id, fp, n)
) {clustered};

-- What happened to findings after they were first seen.
CREATE TABLE finding_event (
  id {id} NOT NULL PRIMARY KEY,
  run_id {id} NOT NULL,
  asset_id {id} NOT NULL,
  detector_id {id} NOT NULL,
  fp {blob} NOT NULL,
  n {int} NOT NULL,
  kind {text} NOT NULL
) {table};

-- Ids of one flaw share a class.
CREATE TABLE alias (
  id {text} NOT NULL PRIMARY KEY,
  class_id {id} NOT NULL
) {table};
CREATE INDEX alias_by_class ON alias (class_id);

-- Statements (VEX) that apply to findings of a class in the named products.
CREATE TABLE statement (
  asset_id {id} NOT NULL,
  detector_id {id} NOT NULL,
  digest {blob} NOT NULL,
  run_id {id} NOT NULL,
  advisory {text} NOT NULL,
  doc {json} NOT NULL,
  PRIMARY KEY (asset_id, detector_id, digest)
) {clustered};

CREATE TABLE issue (
  id {text} NOT NULL PRIMARY KEY,
  seq {id} NOT NULL,
  state {text} NOT NULL,
  reason {text} NOT NULL,
  decided {int} NOT NULL,
  state_at {time} NOT NULL,
  merged_into {text} NOT NULL,
  repository {text} NOT NULL,
  risk {real} NOT NULL,
  updated_at {time} NOT NULL,
  doc {json} NOT NULL
) {table};

-- Every value that names an issue, one for each id of its alias class.
CREATE TABLE issue_key (
  key {text} NOT NULL PRIMARY KEY,
  issue_id {text} NOT NULL
) {table};

-- Append-only: who moved an issue, on which evidence.
CREATE TABLE issue_event (
  idempotency_key {text} NOT NULL PRIMARY KEY,
  id {id} NOT NULL,
  issue_id {text} NOT NULL,
  at {time} NOT NULL,
  actor {text} NOT NULL,
  from_state {text} NOT NULL,
  to_state {text} NOT NULL,
  reason {text} NOT NULL,
  evidence {text} NOT NULL
) {table};
CREATE UNIQUE INDEX issue_event_by_issue ON issue_event (issue_id, id)
