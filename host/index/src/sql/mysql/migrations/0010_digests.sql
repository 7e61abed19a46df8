-- What is known of the bytes of an object: its name, a space, and the digest's text. The name is there because an upload may get
-- another object from a server of the release before, which does not know this column. NULL: not known.

ALTER TABLE entries ADD COLUMN digest BLOB;
ALTER TABLE uploads ADD COLUMN digest BLOB;
