-- How much there is: what may be in the storage. `area_usage` has a sum for each scope (level 0), repository (1), tenant (2), and
-- for the server (3, with an empty tenant). They change in the same transactions as the rows that they are the sums of: the sizes
-- of entries, `reserved_bytes` of uploads, `leaving`, and `departed` while the object is named there. The columns `orphan_bytes`
-- and `apart` are a tenant's only.

CREATE TABLE area_usage (
    level        INTEGER NOT NULL,
    tenant       TEXT    NOT NULL,
    repository   BLOB    NOT NULL,
    scope        BLOB    NOT NULL,
    bytes        INTEGER NOT NULL,
    orphan_bytes INTEGER NOT NULL DEFAULT 0, -- part of `bytes`
    apart        INTEGER NOT NULL DEFAULT 0, -- 1: does not count for the server
    PRIMARY KEY (level, tenant, repository, scope)
) STRICT, WITHOUT ROWID;

-- What the upload may occupy in the storage. Not less than its content, once it is an entry.
ALTER TABLE uploads ADD COLUMN reserved_bytes INTEGER NOT NULL DEFAULT 0;

-- What no row refers to any more, but may still be stored.
CREATE TABLE leaving (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant      TEXT    NOT NULL,
    is_object   INTEGER NOT NULL, -- 1: an object, 0: an upload
    name        TEXT    NOT NULL,
    kept        TEXT,             -- the object of the entry that the upload became
    repository  BLOB    NOT NULL,
    scope       BLOB    NOT NULL,
    bytes       INTEGER NOT NULL,
    UNIQUE (tenant, is_object, name)
) STRICT;

CREATE INDEX leaving_by_tenant ON leaving (tenant, id);

UPDATE uploads SET reserved_bytes = size_bytes WHERE object IS NOT NULL;

-- The program makes the sums of what there is (`ledger.rs`).
INSERT INTO properties (name, value) VALUES ('usage', 'uncounted');
