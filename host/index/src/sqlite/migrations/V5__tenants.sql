-- Whose a row is. All that there was before is the tenant `default`'s. The tenant leads every unique key and every index that a
-- search by place uses; objects and numbers of uploads need no such index, because no two rows have the same by chance.

ALTER TABLE entries ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';

DROP INDEX entries_by_key;
DROP INDEX entries_by_age;
DROP INDEX entries_by_block;
DROP INDEX entries_volatile;

CREATE UNIQUE INDEX entries_by_key ON entries (tenant, repository, scope, version, coalesce(folded, key));
CREATE INDEX entries_by_age ON entries (tenant, repository, scope, version, id, coalesce(folded, key));
CREATE INDEX entries_by_block ON entries (tenant, repository, scope, version, id >> 10, coalesce(folded, key));
CREATE INDEX entries_by_tenant ON entries (tenant, id);
CREATE INDEX entries_volatile ON entries (tenant, id, boot) WHERE boot IS NOT NULL;

-- The unique keys of these two are part of the tables.
CREATE TABLE uploads_of_tenants (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant      TEXT    NOT NULL DEFAULT 'default',
    name        TEXT    NOT NULL,
    repository  BLOB    NOT NULL,
    scope       BLOB    NOT NULL,
    version     BLOB    NOT NULL,
    key         BLOB    NOT NULL,
    owner       TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    active_ms   INTEGER NOT NULL,
    object      TEXT,
    size_bytes  INTEGER,
    folded      BLOB,
    UNIQUE (tenant, name),
    CHECK ((object IS NULL) = (size_bytes IS NULL))
) STRICT;

INSERT INTO uploads_of_tenants
    (id, name, repository, scope, version, key, owner, created_ms, active_ms, object, size_bytes, folded)
    SELECT id, name, repository, scope, version, key, owner, created_ms, active_ms, object, size_bytes, folded FROM uploads;

-- A number is never used again, also if there is no upload now.
DELETE FROM sqlite_sequence WHERE name = 'uploads_of_tenants';
INSERT INTO sqlite_sequence (name, seq) SELECT 'uploads_of_tenants', seq FROM sqlite_sequence WHERE name = 'uploads';

DROP TABLE uploads;
ALTER TABLE uploads_of_tenants RENAME TO uploads;

CREATE UNIQUE INDEX uploads_by_key ON uploads (tenant, repository, scope, version, coalesce(folded, key));
CREATE INDEX uploads_by_tenant ON uploads (tenant, id);
CREATE INDEX uploads_by_object ON uploads (object) WHERE object IS NOT NULL;

CREATE TABLE secrets_of_tenants (
    tenant TEXT NOT NULL DEFAULT 'default',
    name   TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

INSERT INTO secrets_of_tenants (name, value) SELECT name, value FROM secrets;

DROP TABLE secrets;
ALTER TABLE secrets_of_tenants RENAME TO secrets;
