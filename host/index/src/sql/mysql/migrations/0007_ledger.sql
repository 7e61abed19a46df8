-- How much there is: what may be in the storage. `area_usage` has a sum for each scope (level 0), repository (1), tenant (2), and
-- for the server (3, with an empty tenant). Of a text that is longer than 255 bytes it has the first 200 and the SHA-256 of all of
-- it, as `departed`. The sums change in the same transactions as the rows that they are the sums of: the sizes of entries,
-- `reserved_bytes` of uploads, `leaving`, and `departed` while the object is named there. The columns `orphan_bytes` and `apart`
-- are a tenant's only. A server of the release before can go on meanwhile; what it changes is not counted until the next recount.

CREATE TABLE area_usage (
    level        TINYINT        NOT NULL,
    tenant       VARBINARY(63)  NOT NULL,
    repository   VARBINARY(264) NOT NULL,
    scope        VARBINARY(264) NOT NULL,
    bytes        BIGINT         NOT NULL,
    orphan_bytes BIGINT         NOT NULL DEFAULT 0, -- part of `bytes`
    apart        TINYINT        NOT NULL DEFAULT 0, -- 1: does not count for the server
    PRIMARY KEY (level, tenant, repository, scope)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- What the upload may occupy in the storage.
ALTER TABLE uploads ADD COLUMN reserved_bytes BIGINT NOT NULL DEFAULT 0;

-- What no row refers to any more, but may still be stored.
CREATE TABLE leaving (
    id          BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
    tenant      VARBINARY(63)  NOT NULL,
    is_object   TINYINT        NOT NULL, -- 1: an object, 0: an upload
    name        VARBINARY(128) NOT NULL,
    kept        VARBINARY(128),          -- the object of the entry that the upload became
    repository  VARBINARY(264) NOT NULL,
    scope       VARBINARY(264) NOT NULL,
    bytes       BIGINT         NOT NULL,
    UNIQUE KEY leaving_by_name (name, is_object, tenant),
    KEY leaving_by_tenant (tenant, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

UPDATE uploads SET reserved_bytes = size_bytes WHERE object IS NOT NULL;

-- The program makes the sums of what there is (`ledger.rs`).
INSERT INTO properties (name, value) VALUES ('usage', 'uncounted');
