-- What operators ask: entries by their size, a key in any repository, and the keys of the management API. Each index ends with
-- the number of the entry, as all do.

CREATE INDEX entries_by_size ON entries (tenant, size_bytes);
CREATE INDEX entries_by_any_key ON entries (tenant, coalesce(folded, key));

CREATE TABLE access_keys (
    name        TEXT    NOT NULL PRIMARY KEY,
    role        TEXT    NOT NULL, -- read, delete or admin
    tenant      TEXT,             -- NULL: for all
    digest      BLOB    NOT NULL, -- SHA-256 of the key
    created_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
