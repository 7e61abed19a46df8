-- What a key is compared as, where that is not the key itself: keys that differ by the case of ASCII letters only are the
-- same, unless the operator wants otherwise. Until here keys were compared byte for byte, as the property says; the program
-- fills the column in (`refold.rs`), and `slot` with it.

ALTER TABLE entries ADD COLUMN folded bytea; -- NULL: the key itself
ALTER TABLE uploads ADD COLUMN folded bytea;

-- With it go its indexes.
ALTER TABLE entries DROP COLUMN key_head;
ALTER TABLE entries ADD COLUMN key_head bytea NOT NULL
    GENERATED ALWAYS AS (substring(coalesce(folded, key) FROM 1 FOR 255)) STORED;

CREATE INDEX entries_by_key ON entries (place, key_head, id);
CREATE INDEX entries_by_age ON entries (place, id) INCLUDE (key_head);
CREATE INDEX entries_by_block ON entries (place, block, key_head, id);

CREATE TABLE properties (
    name   text NOT NULL PRIMARY KEY,
    value  text NOT NULL
);

INSERT INTO properties (name, value) VALUES ('keys', 'bytes');
