-- What operators ask: entries by their size, a key in any repository, and the keys of the management API.

ALTER TABLE entries
    ADD KEY entries_by_size (tenant, size_bytes, id),
    ADD KEY entries_by_any_key (tenant, key_head, id);

CREATE TABLE access_keys (
    name        VARBINARY(64) NOT NULL PRIMARY KEY,
    role        VARBINARY(16) NOT NULL, -- read, delete or admin
    tenant      VARBINARY(63),          -- NULL: for all
    digest      BINARY(32)    NOT NULL, -- SHA-256 of the key
    created_ms  BIGINT        NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
