-- What people said of services, in its order; nothing is changed or deleted. A
-- service is named by key, a member by kind and key of its asset.
CREATE TABLE service_edit (
  id {id} NOT NULL PRIMARY KEY,
  at {time} NOT NULL,
  actor {text} NOT NULL,
  reason {text} NOT NULL,
  verb {text} NOT NULL,
  service {text} NOT NULL,
  into_service {text} NOT NULL,
  member_kind {text} NOT NULL,
  member_key {text} NOT NULL,
  name {text} NOT NULL
) {table};
