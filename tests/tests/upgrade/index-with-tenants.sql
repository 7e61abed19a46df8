-- The database of `index.sql` as the release before facts, trust and sums of bytes had it that knew tenants: with the statements
-- of its migrations, and what its server wrote into their columns.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
, upload INTEGER, owner TEXT, folded BLOB, tenant TEXT NOT NULL DEFAULT 'default') STRICT;
INSERT INTO "entries" VALUES(1,X'31',X'726566732F68656164732F6D61696E',X'76',X'77686F6C65','p-2d68304775b77aaadbf2f147e8dbbda0',300,1795777997132,1795777997140,NULL,1,'34343d196e5b0bdfae49fe40fab08ea8',NULL,'default');
INSERT INTO "entries" VALUES(2,X'31',X'726566732F68656164732F6D61696E',X'76',X'426C6F636B73','p-91a44f27a376f4b141211db694e90df0',420,1795777997135,1795777997135,NULL,2,'34343d196e5b0bdfae49fe40fab08ea8',X'626C6F636B73','default');
INSERT INTO "entries" VALUES(3,X'31',X'726566732F70756C6C2F372F6D65726765',X'76',X'6F662D612D70756C6C2D72657175657374','p-f0789ff2f43d2ddd4efd1100adb257f8',180,1795777997137,1795777997137,NULL,3,'34343d196e5b0bdfae49fe40fab08ea8',NULL,'default');
INSERT INTO "entries" VALUES(4,X'32',X'726566732F68656164732F6D61696E',X'76',X'77686F6C65','p-f5bd4d7c131d07c4b935c48dfc6c011e',42,1795777997139,1795777997139,NULL,4,'34343d196e5b0bdfae49fe40fab08ea8',NULL,'default');
CREATE TABLE properties (
    name   TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT;
INSERT INTO "properties" VALUES('keys','any-case');
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'initial','2026-11-27T11:13:16.774279901Z','12992543644269430058');
INSERT INTO "refinery_schema_history" VALUES(2,'entry_of_upload','2026-11-27T11:13:16.774286398Z','9753183427815243949');
INSERT INTO "refinery_schema_history" VALUES(3,'owner_of_entry','2026-11-27T11:13:16.774293123Z','2468069580376674817');
INSERT INTO "refinery_schema_history" VALUES(4,'compared_keys','2026-11-27T11:13:16.774294123Z','4729131624476263896');
INSERT INTO "refinery_schema_history" VALUES(5,'tenants','2026-11-27T11:13:16.774295123Z','9568043816218093931');
CREATE TABLE "secrets" (
    tenant TEXT NOT NULL DEFAULT 'default',
    name   TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
INSERT INTO "secrets" VALUES('default','url-signing-key',X'0707070707070707070707070707070707070707070707070707070707070707');
CREATE TABLE "uploads" (
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
INSERT INTO "uploads" VALUES(5,'default','b604fd744232e14e2d0f78ff077d1a0c',X'31',X'726566732F68656164732F6D61696E',X'76',X'756E6465722D776179','34343d196e5b0bdfae49fe40fab08ea8',1795777997140,1795777997140,NULL,NULL,NULL);
CREATE INDEX entries_by_object ON entries (object);
CREATE INDEX entries_by_upload ON entries (upload) WHERE upload IS NOT NULL;
CREATE UNIQUE INDEX entries_by_key ON entries (tenant, repository, scope, version, coalesce(folded, key));
CREATE INDEX entries_by_age ON entries (tenant, repository, scope, version, id, coalesce(folded, key));
CREATE INDEX entries_by_block ON entries (tenant, repository, scope, version, id >> 10, coalesce(folded, key));
CREATE INDEX entries_by_tenant ON entries (tenant, id);
CREATE INDEX entries_volatile ON entries (tenant, id, boot) WHERE boot IS NOT NULL;
CREATE UNIQUE INDEX uploads_by_key ON uploads (tenant, repository, scope, version, coalesce(folded, key));
CREATE INDEX uploads_by_tenant ON uploads (tenant, id);
CREATE INDEX uploads_by_object ON uploads (object) WHERE object IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('entries',4);
INSERT INTO "sqlite_sequence" VALUES('uploads',5);
COMMIT;
