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
