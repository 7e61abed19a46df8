-- How far an entry's saver is trusted, which entries are held back, in what order entries make room, and what became of those that
-- are gone. No row of an entry is written, and a server of the release before can go on meanwhile: what was made before has no
-- trust, and then its scope decides.
--
-- An entry in quarantine keeps its `slot`, and has the first byte of its `place` inverted, so that no search for a prefix meets it.

ALTER TABLE entries
    ADD COLUMN trust bigint,           -- 0 low, 1 full; NULL: not stored, low if the scope is a pull request's
    ADD COLUMN quarantined_ms bigint;  -- NULL: not in quarantine
ALTER TABLE uploads ADD COLUMN trust bigint;

-- In the order in which entries make room. Of long texts the index has 255 bytes.
CREATE INDEX entries_by_use ON entries (
    tenant, coalesce(trust, (substring(scope FROM 1 FOR 10) <> 'refs/pull/'::bytea)::int), used_ms, id);
CREATE INDEX entries_by_use_in_repository ON entries (
    tenant, substring(repository FROM 1 FOR 255),
    coalesce(trust, (substring(scope FROM 1 FOR 10) <> 'refs/pull/'::bytea)::int), used_ms, id);
CREATE INDEX entries_by_use_in_scope ON entries (
    tenant, substring(repository FROM 1 FOR 255), substring(scope FROM 1 FOR 255),
    coalesce(trust, (substring(scope FROM 1 FOR 10) <> 'refs/pull/'::bytea)::int), used_ms, id);

-- A key in any scope and version.
CREATE INDEX entries_near ON entries (tenant, substring(repository FROM 1 FOR 255), key_head, id);
CREATE INDEX uploads_near ON uploads (
    tenant, substring(repository FROM 1 FOR 255), substring(coalesce(folded, key) FROM 1 FOR 255), id);

CREATE INDEX uploads_in_scope ON uploads (
    tenant, substring(repository FROM 1 FOR 255), substring(scope FROM 1 FOR 255), id);

-- Each row is written with the deletion of the entry. Of a text that is longer than 255 bytes it has the first 200 and the
-- SHA-256 of all of it, in hexadecimal digits.
CREATE TABLE departed (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- grows: the order of departure
    tenant       bytea  NOT NULL,
    entry        bigint NOT NULL,                                 -- the number that the entry had
    repository   bytea  NOT NULL,
    scope        bytea  NOT NULL,
    version      bytea  NOT NULL,
    key          bytea  NOT NULL,
    compared     bytea  NOT NULL,                                 -- what the key was compared as
    object       bytea,                                           -- NULL: removed from the storage
    size_bytes   bigint NOT NULL,
    created_ms   bigint NOT NULL,
    used_ms      bigint NOT NULL,
    uses         bigint,                                          -- NULL: not counted
    trust        bigint,                                          -- as the entry's
    departed_ms  bigint NOT NULL,
    cause        bytea  NOT NULL
);

CREATE INDEX departed_by_key ON departed (tenant, repository, compared, id);
CREATE INDEX departed_by_repository ON departed (tenant, repository, id);
CREATE INDEX departed_by_tenant ON departed (tenant, id);
CREATE INDEX departed_stored ON departed (tenant, object) WHERE object IS NOT NULL;
