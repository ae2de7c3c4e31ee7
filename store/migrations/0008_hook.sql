-- Webhook requests that were taken, so that a duplicate is none.
CREATE TABLE hook (
  source {text} NOT NULL,
  id {text} NOT NULL,
  at {time} NOT NULL,
  PRIMARY KEY (source, id)
) {table};
