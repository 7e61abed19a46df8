-- How far an entry's saver is trusted, which entries are held back, in what order entries make room, and what became of those that
-- are gone. No row of an entry is written, and a server of the release before can go on meanwhile: what was made before has no
-- trust, and then its scope decides.
--
-- An entry in quarantine keeps its `slot`, and has the first byte of its `place` inverted, so that no search for a prefix meets it.

-- `trusted` is what `trust` counts as; x'…' is `refs/pull/`. The heads are as long as an index takes.
ALTER TABLE entries
    ADD COLUMN trust TINYINT,         -- 0 low, 1 full; NULL: not stored, low if the scope is a pull request's
    ADD COLUMN quarantined_ms BIGINT, -- NULL: not in quarantine
    ADD COLUMN trusted TINYINT AS (IF(trust IS NULL, LEFT(scope, 10) <> x'726566732f70756c6c2f', trust)) VIRTUAL,
    ADD COLUMN repository_head VARBINARY(255) AS (LEFT(repository, 255)) VIRTUAL,
    ADD COLUMN scope_head VARBINARY(255) AS (LEFT(scope, 255)) VIRTUAL;

-- In the order in which entries make room; and a key in any scope and version.
ALTER TABLE entries
    ADD KEY entries_by_use (tenant, trusted, used_ms, id),
    ADD KEY entries_by_use_in_repository (tenant, repository_head, trusted, used_ms, id),
    ADD KEY entries_by_use_in_scope (tenant, repository_head, scope_head, trusted, used_ms, id),
    ADD KEY entries_near (tenant, repository_head, key_head, id);

ALTER TABLE uploads
    ADD COLUMN trust TINYINT,
    ADD COLUMN repository_head VARBINARY(255) AS (LEFT(repository, 255)) VIRTUAL,
    ADD COLUMN scope_head VARBINARY(255) AS (LEFT(scope, 255)) VIRTUAL,
    ADD COLUMN key_head VARBINARY(255) AS (LEFT(COALESCE(folded, `key`), 255)) VIRTUAL;

ALTER TABLE uploads
    ADD KEY uploads_near (tenant, repository_head, key_head, id),
    ADD KEY uploads_in_scope (tenant, repository_head, scope_head, id);

-- Each row is written with the deletion of the entry. Of a text that is longer than 255 bytes it has the first 200 and the
-- SHA-256 of all of it, in hexadecimal digits.
CREATE TABLE departed (
    id           BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY, -- grows: the order of departure
    tenant       VARBINARY(63)  NOT NULL,
    entry        BIGINT         NOT NULL,                            -- the number that the entry had
    repository   VARBINARY(264) NOT NULL,
    scope        VARBINARY(264) NOT NULL,
    version      VARBINARY(264) NOT NULL,
    `key`        VARBINARY(264) NOT NULL,
    compared     VARBINARY(264) NOT NULL,                            -- what the key was compared as
    object       VARBINARY(128),                                     -- NULL: removed from the storage
    size_bytes   BIGINT         NOT NULL,
    created_ms   BIGINT         NOT NULL,
    used_ms      BIGINT         NOT NULL,
    uses         BIGINT,                                             -- NULL: not counted
    trust        TINYINT,                                            -- as the entry's
    departed_ms  BIGINT         NOT NULL,
    cause        VARBINARY(255) NOT NULL,
    KEY departed_by_key (tenant, repository, compared, id),
    KEY departed_by_repository (tenant, repository, id),
    KEY departed_by_tenant (tenant, id),
    KEY departed_stored (tenant, object)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
