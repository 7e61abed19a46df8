-- The database of Larder ccdbac2, the release before facts, trust and sums of bytes: made by that server, for the saves that
-- `upgrade.rs` names. The secret is another one.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO refinery_schema_history VALUES(1,'initial','2026-11-27T11:13:16.774279901Z','12992543644269430058');
INSERT INTO refinery_schema_history VALUES(2,'entry_of_upload','2026-11-27T11:13:16.774286398Z','9753183427815243949');
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
, upload INTEGER) STRICT;
INSERT INTO entries VALUES(1,X'31',X'726566732f68656164732f6d61696e',X'76',X'77686f6c65','p-2d68304775b77aaadbf2f147e8dbbda0',300,1795777997132,1795777997140,NULL,1);
INSERT INTO entries VALUES(2,X'31',X'726566732f68656164732f6d61696e',X'76',X'426c6f636b73','p-91a44f27a376f4b141211db694e90df0',420,1795777997135,1795777997135,NULL,2);
INSERT INTO entries VALUES(3,X'31',X'726566732f70756c6c2f372f6d65726765',X'76',X'6f662d612d70756c6c2d72657175657374','p-f0789ff2f43d2ddd4efd1100adb257f8',180,1795777997137,1795777997137,NULL,3);
INSERT INTO entries VALUES(4,X'32',X'726566732f68656164732f6d61696e',X'76',X'77686f6c65','p-f5bd4d7c131d07c4b935c48dfc6c011e',42,1795777997139,1795777997139,NULL,4);
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
INSERT INTO uploads VALUES(5,'b604fd744232e14e2d0f78ff077d1a0c',X'31',X'726566732f68656164732f6d61696e',X'76',X'756e6465722d776179','34343d196e5b0bdfae49fe40fab08ea8',1795777997140,1795777997140,NULL,NULL);
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    value  BLOB NOT NULL
) STRICT;
INSERT INTO secrets VALUES('url-signing-key',X'0707070707070707070707070707070707070707070707070707070707070707');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('uploads',5);
INSERT INTO sqlite_sequence VALUES('entries',4);
CREATE UNIQUE INDEX entries_by_key ON entries (repository, scope, version, key);
CREATE INDEX entries_by_age ON entries (repository, scope, version, id, key);
CREATE INDEX entries_by_object ON entries (object);
CREATE INDEX entries_volatile ON entries (id, boot) WHERE boot IS NOT NULL;
CREATE INDEX uploads_by_object ON uploads (object) WHERE object IS NOT NULL;
CREATE INDEX entries_by_upload ON entries (upload) WHERE upload IS NOT NULL;
COMMIT;
