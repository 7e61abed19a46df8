-- How much there is: what may be in the storage. `area_usage` has a sum for each scope (level 0), repository (1), tenant (2), and
-- for the server (3, with an empty tenant). Of a text that is longer than 255 bytes it has the first 200 and the SHA-256 of all of
-- it, as `departed`. The sums change in the same transactions as the rows that they are the sums of: the sizes of entries,
-- `reserved_bytes` of uploads, `leaving`, and `departed` while the object is named there. The columns `orphan_bytes` and `apart`
-- are a tenant's only. A server of the release before can go on meanwhile; what it changes is not counted until the next recount.

CREATE TABLE area_usage (
    level        smallint NOT NULL,
    tenant       bytea    NOT NULL,
    repository   bytea    NOT NULL,
    scope        bytea    NOT NULL,
    bytes        bigint   NOT NULL,
    orphan_bytes bigint   NOT NULL DEFAULT 0, -- part of `bytes`
    apart        boolean  NOT NULL DEFAULT false, -- does not count for the server
    PRIMARY KEY (level, tenant, repository, scope)
) WITH (fillfactor = 50); -- changed all the time, and no index with them

-- What the upload may occupy in the storage.
ALTER TABLE uploads ADD COLUMN reserved_bytes bigint NOT NULL DEFAULT 0;

-- What no row refers to any more, but may still be stored.
CREATE TABLE leaving (
    id          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      bytea   NOT NULL,
    is_object   boolean NOT NULL, -- else it is an upload
    name        bytea   NOT NULL,
    kept        bytea,            -- the object of the entry that the upload became
    repository  bytea   NOT NULL,
    scope       bytea   NOT NULL,
    bytes       bigint  NOT NULL
);

CREATE UNIQUE INDEX leaving_by_name ON leaving (name, is_object, tenant);
CREATE INDEX leaving_by_tenant ON leaving (tenant, id);

UPDATE uploads SET reserved_bytes = size_bytes WHERE object IS NOT NULL;

-- The program makes the sums of what there is (`ledger.rs`).
INSERT INTO properties (name, value) VALUES ('usage', 'uncounted');
