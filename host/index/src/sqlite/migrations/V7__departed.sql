-- How far an entry's saver is trusted, which entries are held back, in what order entries make room, and what became of those that
-- are gone. No row of an entry is written: what was made before has no trust, and then its scope decides. `quarantined_ms` is null
-- in nearly all rows, so reading it costs a look-up nothing.

ALTER TABLE entries ADD COLUMN trust INTEGER;          -- 0 low, 1 full; NULL: not stored, low if the scope is a pull request's
ALTER TABLE entries ADD COLUMN quarantined_ms INTEGER; -- NULL: not in quarantine
ALTER TABLE uploads ADD COLUMN trust INTEGER;

-- The searches for a prefix from the newest entry backwards do not meet entries in quarantine. The last column is null: with it
-- the index has all that they read.
DROP INDEX entries_by_age;
DROP INDEX entries_by_block;
CREATE INDEX entries_by_age ON entries (tenant, repository, scope, version, id, coalesce(folded, key), quarantined_ms)
    WHERE quarantined_ms IS NULL;
CREATE INDEX entries_by_block ON entries (tenant, repository, scope, version, id >> 10, coalesce(folded, key), quarantined_ms)
    WHERE quarantined_ms IS NULL;

-- In the order in which entries make room. x'…' is `refs/pull/`. Each index ends with the number, as all do.
CREATE INDEX entries_by_use ON entries
    (tenant, coalesce(trust, substr(scope, 1, 10) <> x'726566732f70756c6c2f'), used_ms);
CREATE INDEX entries_by_use_in_repository ON entries
    (tenant, repository, coalesce(trust, substr(scope, 1, 10) <> x'726566732f70756c6c2f'), used_ms);
CREATE INDEX entries_by_use_in_scope ON entries
    (tenant, repository, scope, coalesce(trust, substr(scope, 1, 10) <> x'726566732f70756c6c2f'), used_ms);

-- A key in any scope and version.
CREATE INDEX entries_near ON entries (tenant, repository, coalesce(folded, key));
CREATE INDEX uploads_near ON uploads (tenant, repository, coalesce(folded, key));

CREATE INDEX uploads_in_scope ON uploads (tenant, repository, scope);

-- Each row is written with the deletion of the entry. Of a text that is longer than 255 bytes it has the first 200 and the
-- SHA-256 of all of it, in hexadecimal digits.
CREATE TABLE departed (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows: the order of departure
    tenant       TEXT    NOT NULL,
    entry        INTEGER NOT NULL,                  -- the number that the entry had
    repository   BLOB    NOT NULL,
    scope        BLOB    NOT NULL,
    version      BLOB    NOT NULL,
    key          BLOB    NOT NULL,
    compared     BLOB    NOT NULL,                  -- what the key was compared as
    object       TEXT,                              -- NULL: removed from the storage
    size_bytes   INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    used_ms      INTEGER NOT NULL,
    uses         INTEGER,                           -- NULL: not counted
    trust        INTEGER,                           -- as the entry's
    departed_ms  INTEGER NOT NULL,
    cause        TEXT    NOT NULL
) STRICT;

CREATE INDEX departed_by_key ON departed (tenant, repository, compared);
CREATE INDEX departed_by_repository ON departed (tenant, repository);
CREATE INDEX departed_by_tenant ON departed (tenant, id);
CREATE INDEX departed_stored ON departed (tenant, object) WHERE object IS NOT NULL;
