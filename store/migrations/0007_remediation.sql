-- Chosen fix paths and what became of them.
CREATE TABLE remediation (
  id {text} NOT NULL PRIMARY KEY,
  repository {text} NOT NULL,
  state {text} NOT NULL,
  changed {time} NOT NULL,
  doc {text} NOT NULL
) {table};

CREATE TABLE remediation_event (
  key {text} NOT NULL PRIMARY KEY,
  remediation {text} NOT NULL,
  seq {int} NOT NULL,
  at {time} NOT NULL,
  doc {text} NOT NULL
) {table};

CREATE UNIQUE INDEX remediation_event_order ON remediation_event (remediation, seq);
