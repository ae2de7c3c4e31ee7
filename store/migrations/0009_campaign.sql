-- Sets of issues that people set out to close together.
CREATE TABLE campaign (
  name {text} NOT NULL PRIMARY KEY,
  created {time} NOT NULL,
  doc {text} NOT NULL
) {table};
