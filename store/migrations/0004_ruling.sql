-- What people said of who owns what, in its order; nothing is changed or deleted.
-- A subject is an asset by kind and key, or an issue by "issue" and its id. taught
-- counts what the answer says about kinds of evidence: {"right": [..], "wrong": [..]}.
CREATE TABLE ruling (
  id {id} NOT NULL PRIMARY KEY,
  at {time} NOT NULL,
  actor {text} NOT NULL,
  kind {text} NOT NULL,
  key {text} NOT NULL,
  verb {text} NOT NULL,
  owner_kind {text} NOT NULL,
  owner_id {text} NOT NULL,
  owner_name {text} NOT NULL,
  role {text} NOT NULL,
  reason {text} NOT NULL,
  taught {json} NOT NULL
) {table};
CREATE INDEX ruling_by_subject ON ruling (kind, key, id);
-- The words about an issue are also those about the issues merged into it.
CREATE INDEX issue_by_merged ON issue (merged_into);
