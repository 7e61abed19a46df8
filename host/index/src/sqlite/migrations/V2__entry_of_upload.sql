-- The number of the upload that an entry was made of: a commit of protocol version 1 names nothing else, and may be repeated.

ALTER TABLE entries ADD COLUMN upload INTEGER; -- NULL: made before there was this column

CREATE INDEX entries_by_upload ON entries (upload) WHERE upload IS NOT NULL;
