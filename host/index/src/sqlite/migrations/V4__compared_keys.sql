-- What a key is compared as, where that is not the key itself: keys that differ by the case of ASCII letters only are the
-- same, unless the operator wants otherwise. Until here keys were compared byte for byte, as the property says; the program
-- fills the column in (`refold.rs`).

ALTER TABLE entries ADD COLUMN folded BLOB; -- NULL: the key itself
ALTER TABLE uploads ADD COLUMN folded BLOB;

DROP INDEX entries_by_key;
DROP INDEX entries_by_age;

CREATE UNIQUE INDEX entries_by_key ON entries (repository, scope, version, coalesce(folded, key));

CREATE UNIQUE INDEX uploads_by_key ON uploads (repository, scope, version, coalesce(folded, key));

-- The searches for a prefix visit no table. The last is by blocks of 1,024 entries made about the same time.
CREATE INDEX entries_by_age ON entries (repository, scope, version, id, coalesce(folded, key));
CREATE INDEX entries_by_block ON entries (repository, scope, version, id >> 10, coalesce(folded, key));

CREATE TABLE properties (
    name   TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT;

INSERT INTO properties (name, value) VALUES ('keys', 'bytes');
