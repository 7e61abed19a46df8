-- What a key is compared as, where that is not the key itself: keys that differ by the case of ASCII letters only are the
-- same, unless the operator wants otherwise. Until here keys were compared byte for byte, as the property says; the program
-- fills the column in (`refold.rs`), and `slot` and `key_head` with it.

ALTER TABLE entries ADD COLUMN folded VARBINARY(4096); -- NULL: the key itself
ALTER TABLE uploads ADD COLUMN folded VARBINARY(4096);

CREATE TABLE properties (
    name   VARBINARY(255) NOT NULL PRIMARY KEY,
    value  VARBINARY(255) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

INSERT INTO properties (name, value) VALUES ('keys', 'bytes');
