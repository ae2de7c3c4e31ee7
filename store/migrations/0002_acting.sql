-- Outside effects, written before they happen.
CREATE TABLE delivery (
  key {text} NOT NULL PRIMARY KEY,
  kind {text} NOT NULL,
  target {text} NOT NULL,
  payload {text} NOT NULL,
  state {text} NOT NULL,
  attempts {int} NOT NULL,
  reply {text} NOT NULL,
  at {time} NOT NULL
) {table};

-- Where a repository was last looked at on this machine.
CREATE TABLE checkout (
  repository {text} NOT NULL PRIMARY KEY,
  dir {text} NOT NULL,
  commit_id {text} NOT NULL,
  at {time} NOT NULL
) {table};
