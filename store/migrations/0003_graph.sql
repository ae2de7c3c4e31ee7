-- Named sources of facts, and the parts that each reads as a whole.
CREATE TABLE source (
  id {id} NOT NULL PRIMARY KEY,
  name {text} NOT NULL
) {table};
CREATE UNIQUE INDEX source_by_name ON source (name);
CREATE TABLE source_scope (
  id {id} NOT NULL PRIMARY KEY,
  source_id {id} NOT NULL,
  name {text} NOT NULL
) {table};
CREATE UNIQUE INDEX source_scope_by_name ON source_scope (source_id, name);

-- Runs of sources; ended is 0 while a run goes on or was cut off.
CREATE TABLE source_run (
  id {id} NOT NULL PRIMARY KEY,
  source_id {id} NOT NULL,
  started {time} NOT NULL,
  ended {time} NOT NULL
) {table};
CREATE INDEX source_run_by_source ON source_run (source_id, id);
CREATE INDEX source_run_by_start ON source_run (started, id);
-- Which scopes a run covered; the newest gives "last seen".
CREATE TABLE source_run_scope (
  scope_id {id} NOT NULL,
  run_id {id} NOT NULL,
  PRIMARY KEY (scope_id, run_id)
) {clustered};

-- What one scope says of an asset. first_run saw it first, since_run as it is
-- now; gone_run is 0 while it is there. A row that did not change is not written.
CREATE TABLE node (
  scope_id {id} NOT NULL,
  asset_id {id} NOT NULL,
  doc {text} NOT NULL,
  first_run {id} NOT NULL,
  since_run {id} NOT NULL,
  gone_run {id} NOT NULL,
  PRIMARY KEY (scope_id, asset_id)
) {clustered};
CREATE INDEX node_by_asset ON node (asset_id, scope_id);
-- What it said from since_run until before until_run.
CREATE TABLE node_past (
  asset_id {id} NOT NULL,
  scope_id {id} NOT NULL,
  since_run {id} NOT NULL,
  until_run {id} NOT NULL,
  doc {text} NOT NULL,
  PRIMARY KEY (asset_id, scope_id, since_run)
) {clustered};

CREATE TABLE edge_kind (
  id {int} NOT NULL PRIMARY KEY,
  name {text} NOT NULL
) {table};
CREATE UNIQUE INDEX edge_kind_by_name ON edge_kind (name);
-- Evidence of relations, once per text.
CREATE TABLE evidence (
  id {id} NOT NULL PRIMARY KEY,
  digest {blob} NOT NULL,
  doc {json} NOT NULL
) {table};
CREATE UNIQUE INDEX evidence_by_digest ON evidence (digest);
-- Relations as one scope sees them. Both ends are nodes of the same scope, so
-- that those that leave an asset are found by its scopes.
CREATE TABLE edge (
  scope_id {id} NOT NULL,
  src {id} NOT NULL,
  kind {int} NOT NULL,
  dst {id} NOT NULL,
  evidence_id {id} NOT NULL,
  first_run {id} NOT NULL,
  since_run {id} NOT NULL,
  gone_run {id} NOT NULL,
  PRIMARY KEY (scope_id, src, kind, dst)
) {clustered};
CREATE INDEX edge_by_dst ON edge (dst, kind, src);
CREATE TABLE edge_past (
  src {id} NOT NULL,
  kind {int} NOT NULL,
  dst {id} NOT NULL,
  scope_id {id} NOT NULL,
  since_run {id} NOT NULL,
  until_run {id} NOT NULL,
  evidence_id {id} NOT NULL,
  PRIMARY KEY (src, kind, dst, scope_id, since_run)
) {clustered};
CREATE INDEX edge_past_by_dst ON edge_past (dst, kind, src);

-- Ownership claims, kept apart. who is a digest of owner, role and source.
CREATE TABLE claim (
  scope_id {id} NOT NULL,
  subject {id} NOT NULL,
  who {id} NOT NULL,
  doc {text} NOT NULL,
  first_run {id} NOT NULL,
  since_run {id} NOT NULL,
  gone_run {id} NOT NULL,
  PRIMARY KEY (scope_id, subject, who)
) {clustered};
CREATE INDEX claim_by_subject ON claim (subject, scope_id);
CREATE TABLE claim_past (
  subject {id} NOT NULL,
  scope_id {id} NOT NULL,
  who {id} NOT NULL,
  since_run {id} NOT NULL,
  until_run {id} NOT NULL,
  doc {text} NOT NULL,
  PRIMARY KEY (subject, scope_id, who, since_run)
) {clustered};

-- Facts of a scope that is still being read, when they are too many for memory.
-- Nothing reads them but the run that wrote them.
CREATE TABLE graph_stage (
  scope_id {id} NOT NULL,
  what {int} NOT NULL,
  a {id} NOT NULL,
  b {id} NOT NULL,
  c {id} NOT NULL,
  n {id} NOT NULL,
  doc {text} NOT NULL,
  PRIMARY KEY (scope_id, what, a, b, c, n)
) {clustered};

CREATE INDEX asset_by_name ON asset (name);
CREATE INDEX scope_by_target ON scope (target, detector_id)
