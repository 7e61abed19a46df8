-- What operators ask: entries by their size, a key in any repository, and the keys of the management API.

CREATE INDEX entries_by_size ON entries (tenant, size_bytes, id);
CREATE INDEX entries_by_any_key ON entries (tenant, key_head, id);

CREATE TABLE access_keys (
    name        bytea  NOT NULL PRIMARY KEY,
    role        bytea  NOT NULL, -- read, delete or admin
    tenant      bytea,           -- NULL: for all
    digest      bytea  NOT NULL, -- SHA-256 of the key
    created_ms  bigint NOT NULL
);
