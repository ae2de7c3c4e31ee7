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

-- Runs of sources; finished is 0 while a run goes on or was cut off.
CREATE TABLE source_run (
  id {id} NOT NULL PRIMARY KEY,
  source_id {id} NOT NULL,
  started {time} NOT NULL,
  finished {time} NOT NULL
) {table};
CREATE INDEX source_run_by_source ON source_run (source_id, id);
-- Which scopes a run covered; the newest gives "last seen".
CREATE TABLE source_run_scope (
  scope_id {id} NOT NULL,
  run_id {id} NOT NULL,
  PRIMARY KEY (scope_id, run_id)
) {clustered};

-- Texts of the graph, once each: properties and evidence.
CREATE TABLE graph_text (
  id {id} NOT NULL PRIMARY KEY,
  digest {blob} NOT NULL,
  doc {json} NOT NULL
) {table};
CREATE UNIQUE INDEX graph_text_by_digest ON graph_text (digest);

-- What one scope says of an asset. gone_run is 0 while it is there.
CREATE TABLE node (
  scope_id {id} NOT NULL,
  asset_id {id} NOT NULL,
  text_id {id} NOT NULL,
  first_run {id} NOT NULL,
  changed_run {id} NOT NULL,
  gone_run {id} NOT NULL,
  PRIMARY KEY (scope_id, asset_id)
) {clustered};
CREATE INDEX node_by_asset ON node (asset_id, scope_id);

-- Relations as one scope sees them.
CREATE TABLE edge (
  scope_id {id} NOT NULL,
  src {id} NOT NULL,
  kind {text} NOT NULL,
  dst {id} NOT NULL,
  text_id {id} NOT NULL,
  first_run {id} NOT NULL,
  changed_run {id} NOT NULL,
  gone_run {id} NOT NULL,
  PRIMARY KEY (scope_id, src, kind, dst)
) {clustered};
CREATE INDEX edge_by_src ON edge (src, kind, dst);
CREATE INDEX edge_by_dst ON edge (dst, kind, src);

-- Ownership claims, kept apart.
CREATE TABLE claim (
  scope_id {id} NOT NULL,
  subject {id} NOT NULL,
  text_id {id} NOT NULL,
  first_run {id} NOT NULL,
  gone_run {id} NOT NULL,
  PRIMARY KEY (scope_id, subject, text_id)
) {clustered};
CREATE INDEX claim_by_subject ON claim (subject, scope_id)
