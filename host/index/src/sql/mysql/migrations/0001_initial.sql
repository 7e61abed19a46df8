-- The client's texts are bytes: compared byte for byte, and right with NUL bytes and spaces at their ends. They may be
-- longer than an index takes, so SHA-256 stands for them there: `place` for repository, scope and version, `slot` for these
-- and the key. The program makes both.

CREATE TABLE entries (
    id          BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY, -- a number is never used again
    slot        BINARY(32)      NOT NULL,
    place       BINARY(32)      NOT NULL,
    repository  VARBINARY(4096) NOT NULL,
    scope       VARBINARY(4096) NOT NULL,
    version     VARBINARY(4096) NOT NULL,
    `key`       VARBINARY(4096) NOT NULL,
    key_head    VARBINARY(255)  NOT NULL,                            -- how the key begins; the program makes it
    block       BIGINT          NOT NULL,                            -- id >> 12: entries made about the same time
    object      VARBINARY(128)  NOT NULL,
    size_bytes  BIGINT          NOT NULL,
    created_ms  BIGINT          NOT NULL,
    used_ms     BIGINT          NOT NULL,
    boot        VARBINARY(255),                                      -- NULL: the content is durable
    upload      BIGINT          NOT NULL,                            -- what it was made of
    UNIQUE KEY entries_by_slot (slot),
    KEY entries_by_upload (upload),
    -- The searches for a prefix: through the keys that have it; from the newest entry backwards; and from the newest block
    -- backwards, through the keys in it that have the prefix.
    KEY entries_by_key (place, key_head, id),
    KEY entries_by_age (place, id, key_head),
    KEY entries_by_block (place, block, key_head, id),
    KEY entries_by_object (object),
    KEY entries_volatile (boot, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE uploads (
    id          BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name        VARBINARY(32)   NOT NULL,
    slot        BINARY(32)      NOT NULL,
    place       BINARY(32)      NOT NULL,
    repository  VARBINARY(4096) NOT NULL,
    scope       VARBINARY(4096) NOT NULL,
    version     VARBINARY(4096) NOT NULL,
    `key`       VARBINARY(4096) NOT NULL,
    owner       VARBINARY(4096) NOT NULL,
    created_ms  BIGINT          NOT NULL,
    active_ms   BIGINT          NOT NULL,
    object      VARBINARY(128),
    size_bytes  BIGINT,
    UNIQUE KEY uploads_by_slot (slot),
    UNIQUE KEY uploads_by_name (name),
    KEY uploads_by_object (object)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE secrets (
    name   VARBINARY(255) NOT NULL PRIMARY KEY,
    value  VARBINARY(4096) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
