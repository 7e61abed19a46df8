-- The client's texts are BLOBs: compared byte for byte, and right with NUL bytes in them.

CREATE TABLE entries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- AUTOINCREMENT: a number is never used again
    repository  BLOB    NOT NULL,
    scope       BLOB    NOT NULL,
    version     BLOB    NOT NULL,
    key         BLOB    NOT NULL,
    object      TEXT    NOT NULL,
    size_bytes  INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    used_ms     INTEGER NOT NULL,
    boot        TEXT                               -- NULL: the content is durable
) STRICT;

CREATE UNIQUE INDEX entries_by_key ON entries (repository, scope, version, key);

-- With the key in it, the search for the newest entry with a prefix need not visit the table.
CREATE INDEX entries_by_age ON entries (repository, scope, version, id, key);

CREATE INDEX entries_by_object ON entries (object);

CREATE INDEX entries_volatile ON entries (id, boot) WHERE boot IS NOT NULL;

CREATE TABLE uploads (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL UNIQUE,
    repository  BLOB    NOT NULL,
    scope       BLOB    NOT NULL,
    version     BLOB    NOT NULL,
    key         BLOB    NOT NULL,
    owner       TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    active_ms   INTEGER NOT NULL,
    object      TEXT,
    size_bytes  INTEGER,
    UNIQUE (repository, scope, version, key),
    CHECK ((object IS NULL) = (size_bytes IS NULL))
) STRICT;

CREATE INDEX uploads_by_object ON uploads (object) WHERE object IS NOT NULL;

CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    value  BLOB NOT NULL
) STRICT;
