-- Whose a row is. All that there was before is the tenant `default`'s. `place` and `slot` stand for the tenant, too: for
-- `default` they are as before, so no key of a search changes, and a server of the release before can go on meanwhile.

ALTER TABLE entries ADD COLUMN tenant bytea NOT NULL DEFAULT 'default';

CREATE INDEX entries_by_tenant ON entries (tenant, id);

DROP INDEX entries_volatile;
CREATE INDEX entries_volatile ON entries (tenant, id) WHERE boot IS NOT NULL;

ALTER TABLE uploads ADD COLUMN tenant bytea NOT NULL DEFAULT 'default';

CREATE INDEX uploads_by_tenant ON uploads (tenant, id);

DROP INDEX uploads_by_name;
CREATE UNIQUE INDEX uploads_by_name ON uploads (name, tenant);

ALTER TABLE secrets ADD COLUMN tenant bytea NOT NULL DEFAULT 'default';
ALTER TABLE secrets DROP CONSTRAINT secrets_pkey;
ALTER TABLE secrets ADD PRIMARY KEY (tenant, name);
