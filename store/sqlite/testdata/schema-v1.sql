-- A database at schema step 1, dumped as text.
PRAGMA application_id = 1112765539;
CREATE TABLE schema_step (version INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL) STRICT;
INSERT INTO schema_step VALUES(1,'first','2a3f74543282503c5d8e9879ae94432770e5303d3fea98cd019b9c8d2791d6ef');
CREATE TABLE id_block (
  name TEXT NOT NULL PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT;
INSERT INTO id_block VALUES('part',5);
INSERT INTO id_block VALUES('flaw',3);
INSERT INTO id_block VALUES('alias_class',2);
INSERT INTO id_block VALUES('run',3);
INSERT INTO id_block VALUES('detector',2);
INSERT INTO id_block VALUES('asset',2);
INSERT INTO id_block VALUES('scope',2);
INSERT INTO id_block VALUES('finding_event',2);
INSERT INTO id_block VALUES('issue',3);
INSERT INTO id_block VALUES('issue_event',2);
CREATE TABLE blob (
  id INTEGER NOT NULL PRIMARY KEY,
  digest BLOB,
  size INTEGER NOT NULL,
  codec TEXT NOT NULL,
  stored_at INTEGER NOT NULL,
  complete INTEGER NOT NULL
) STRICT;
CREATE TABLE blob_chunk (
  blob_id INTEGER NOT NULL,
  n INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (blob_id, n)
) STRICT;
CREATE TABLE asset (
  id INTEGER NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  name TEXT NOT NULL
) STRICT;
INSERT INTO asset VALUES(1,'repository','github.com/acme/shop','github.com/acme/shop');
CREATE TABLE detector (
  id INTEGER NOT NULL PRIMARY KEY,
  tool TEXT NOT NULL,
  format TEXT NOT NULL
) STRICT;
INSERT INTO detector VALUES(1,'trivy','trivy');
CREATE TABLE scope (
  id INTEGER NOT NULL PRIMARY KEY,
  asset_id INTEGER NOT NULL,
  detector_id INTEGER NOT NULL,
  target TEXT NOT NULL
) STRICT;
INSERT INTO scope VALUES(1,1,1,'github.com/acme/shop//');
CREATE TABLE run (
  id INTEGER NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  detector_id INTEGER NOT NULL,
  tool_version TEXT NOT NULL,
  rules TEXT NOT NULL,
  report TEXT NOT NULL,
  blob_id INTEGER,
  started INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  added INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  reopened INTEGER NOT NULL,
  unconfirmed INTEGER NOT NULL
) STRICT;
INSERT INTO run VALUES(1,1777863721000000,1,'','','report.json',NULL,0,1,2,2,0,0,0);
INSERT INTO run VALUES(2,1777950121000000,1,'','','report.json',NULL,0,1,1,0,0,0,1);
CREATE TABLE run_scope (
  scope_id INTEGER NOT NULL,
  run_id INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  PRIMARY KEY (scope_id, run_id)
) STRICT, WITHOUT ROWID;
INSERT INTO run_scope VALUES(1,1,1);
INSERT INTO run_scope VALUES(1,2,1);
CREATE TABLE flaw (
  id INTEGER NOT NULL PRIMARY KEY,
  digest BLOB NOT NULL,
  kind TEXT NOT NULL,
  rule TEXT NOT NULL,
  epss REAL NOT NULL,
  doc TEXT NOT NULL
) STRICT;
INSERT INTO flaw VALUES(1,X'67e14e3b71e912b3d094b1158c031efe','vulnerability','GHSA-1',0.0,'{"aliases":["CVE-2026-1"],"title":"flaw of a"}');
INSERT INTO flaw VALUES(2,X'16ce9ffff4a1221c9b1a7c91b4fdf75d','vulnerability','CVE-2026-2',0.0,'{"title":"flaw of b"}');
CREATE TABLE part (
  id INTEGER NOT NULL PRIMARY KEY,
  digest BLOB NOT NULL,
  doc TEXT NOT NULL
) STRICT;
INSERT INTO part VALUES(1,X'362ab1e87fce37caeed6edc4bd2ed994','{"ecosystem":"npm","name":"a","version":"1.0.0","purl":"pkg:npm/a@1.0.0"}');
INSERT INTO part VALUES(2,X'ac96928c0207a05412f338c8d5430254','{"path":"package-lock.json"}');
INSERT INTO part VALUES(3,X'e52d9c508c502347344d8c07ad91cbd6','null');
INSERT INTO part VALUES(4,X'8a2db85562fec466a564cf07e7b1bc40','{"ecosystem":"npm","name":"b","version":"1.0.0","purl":"pkg:npm/b@1.0.0"}');
CREATE TABLE finding (
  asset_id INTEGER NOT NULL,
  detector_id INTEGER NOT NULL,
  fp BLOB NOT NULL,
  n INTEGER NOT NULL,
  chash BLOB NOT NULL,
  scope_id INTEGER NOT NULL,
  flaw_id INTEGER NOT NULL,
  package_id INTEGER NOT NULL,
  place_id INTEGER NOT NULL,
  extra_id INTEGER NOT NULL,
  fixed TEXT,
  line INTEGER NOT NULL,
  end_line INTEGER NOT NULL,
  severity INTEGER NOT NULL,
  state INTEGER NOT NULL,
  analysis TEXT,
  first_run INTEGER NOT NULL,
  seen_run INTEGER NOT NULL,
  changed_run INTEGER NOT NULL,
  read_run INTEGER NOT NULL,
  item TEXT,
  off INTEGER NOT NULL,
  len INTEGER NOT NULL,
  PRIMARY KEY (asset_id, detector_id, fp, n)
) STRICT, WITHOUT ROWID;
INSERT INTO finding VALUES(1,1,X'1e010af8a6efb6ae5a401d815f6d68a1',0,X'7bc43cd13a3eca72c9d081343d9c4639',1,1,1,2,3,'["1.0.1"]',0,0,4,1,'{"state":"in_triage"}',1,1,1,1,NULL,0,0);
INSERT INTO finding VALUES(1,1,X'78e8064016676c12052508c4639813f0',0,X'638ae68aebfa9e23920950f439505331',1,2,4,2,3,NULL,0,0,4,2,NULL,1,1,2,1,NULL,0,0);
CREATE TABLE finding_event (
  id INTEGER NOT NULL PRIMARY KEY,
  run_id INTEGER NOT NULL,
  asset_id INTEGER NOT NULL,
  detector_id INTEGER NOT NULL,
  fp BLOB NOT NULL,
  n INTEGER NOT NULL,
  kind TEXT NOT NULL
) STRICT;
INSERT INTO finding_event VALUES(1,2,1,1,X'78e8064016676c12052508c4639813f0',0,'unconfirmed');
CREATE TABLE alias (
  id TEXT NOT NULL PRIMARY KEY,
  class_id INTEGER NOT NULL
) STRICT;
INSERT INTO alias VALUES('GHSA-1',1);
INSERT INTO alias VALUES('CVE-2026-1',1);
CREATE TABLE statement (
  asset_id INTEGER NOT NULL,
  detector_id INTEGER NOT NULL,
  digest BLOB NOT NULL,
  run_id INTEGER NOT NULL,
  advisory TEXT NOT NULL,
  doc TEXT NOT NULL,
  PRIMARY KEY (asset_id, detector_id, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE issue (
  id TEXT NOT NULL PRIMARY KEY,
  seq INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  decided INTEGER NOT NULL,
  state_at INTEGER NOT NULL,
  merged_into TEXT NOT NULL,
  repository TEXT NOT NULL,
  risk REAL NOT NULL,
  updated_at INTEGER NOT NULL,
  doc TEXT NOT NULL
) STRICT;
INSERT INTO issue VALUES('BS-Z4EXHLLJ3W',1,'in_progress','planned',1,1778036521000000,'','github.com/acme/shop',62.0,1777950121000000,'{"id":"BS-Z4EXHLLJ3W","title":"flaw of a","kind":"vulnerability","severity":"high","risk":62,"state":"open","advisories":["CVE-2026-1","GHSA-1"],"assets":[{"kind":"repository","key":"github.com/acme/shop","name":"github.com/acme/shop"}],"package":{"purl":"pkg:npm/a@1.0.0","version":"1.0.0"},"cause":{"status":"unknown","locations":[],"chain":[],"missing":[]},"owners":[],"fix_paths":[],"rule":"CVE-2026-1","class":["CVE-2026-1","GHSA-1"],"first_seen":1777863721000000,"last_seen":1777950121000000,"key":"[\"vulnerability\",\"CVE-2026-1\",\"a\",\"\",\"repository:github.com/acme/shop//package-lock.json\"]","findings":1,"tools":["trivy"],"exploited":false,"epss":0,"analysis":"in_triage"}');
INSERT INTO issue VALUES('BS-IOZUE62JXA',2,'unconfirmed','',0,1777950121000000,'','github.com/acme/shop',62.0,1777950121000000,'{"id":"BS-IOZUE62JXA","title":"flaw of b","kind":"vulnerability","severity":"high","risk":62,"state":"unconfirmed","advisories":["CVE-2026-2"],"assets":[{"kind":"repository","key":"github.com/acme/shop","name":"github.com/acme/shop"}],"package":{"purl":"pkg:npm/b@1.0.0","version":"1.0.0"},"cause":{"status":"unknown","locations":[],"chain":[],"missing":[]},"owners":[],"fix_paths":[],"rule":"CVE-2026-2","class":["CVE-2026-2"],"first_seen":1777863721000000,"last_seen":1777863721000000,"key":"[\"vulnerability\",\"CVE-2026-2\",\"b\",\"\",\"repository:github.com/acme/shop//package-lock.json\"]","findings":1,"tools":["trivy"],"exploited":false,"epss":0}');
CREATE TABLE issue_key (
  key TEXT NOT NULL PRIMARY KEY,
  issue_id TEXT NOT NULL
) STRICT;
INSERT INTO issue_key VALUES('["vulnerability","CVE-2026-1","a","","repository:github.com/acme/shop//package-lock.json"]','BS-Z4EXHLLJ3W');
INSERT INTO issue_key VALUES('["vulnerability","GHSA-1","a","","repository:github.com/acme/shop//package-lock.json"]','BS-Z4EXHLLJ3W');
INSERT INTO issue_key VALUES('["vulnerability","CVE-2026-2","b","","repository:github.com/acme/shop//package-lock.json"]','BS-IOZUE62JXA');
CREATE TABLE issue_event (
  idempotency_key TEXT NOT NULL PRIMARY KEY,
  id INTEGER NOT NULL,
  issue_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  reason TEXT NOT NULL,
  evidence TEXT NOT NULL
) STRICT;
INSERT INTO issue_event VALUES('1',1,'BS-Z4EXHLLJ3W',1778036521000000,'person:ada','open','in_progress','planned','[]');
CREATE UNIQUE INDEX blob_by_digest ON blob (digest);
CREATE UNIQUE INDEX asset_by_key ON asset (kind, key);
CREATE UNIQUE INDEX detector_by_name ON detector (tool, format);
CREATE UNIQUE INDEX scope_by_key ON scope (asset_id, detector_id, target);
CREATE UNIQUE INDEX flaw_by_digest ON flaw (digest);
CREATE UNIQUE INDEX part_by_digest ON part (digest);
CREATE INDEX alias_by_class ON alias (class_id);
CREATE UNIQUE INDEX issue_event_by_issue ON issue_event (issue_id, id);
