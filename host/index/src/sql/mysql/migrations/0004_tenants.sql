-- Whose a row is. All that there was before is the tenant `default`'s. `place` and `slot` stand for the tenant, too: for
-- `default` they are as before, so no key of a search changes, and a server of the release before can go on meanwhile.

-- Alone, because then no row is written.
ALTER TABLE entries ADD COLUMN tenant VARBINARY(63) NOT NULL DEFAULT 'default';

ALTER TABLE entries
    ADD KEY entries_by_tenant (tenant, id),
    DROP KEY entries_volatile,
    ADD KEY entries_volatile (tenant, boot, id);

ALTER TABLE uploads
    ADD COLUMN tenant VARBINARY(63) NOT NULL DEFAULT 'default',
    ADD KEY uploads_by_tenant (tenant, id),
    DROP KEY uploads_by_name,
    ADD UNIQUE KEY uploads_by_name (name, tenant);

ALTER TABLE secrets
    ADD COLUMN tenant VARBINARY(63) NOT NULL DEFAULT 'default' FIRST,
    DROP PRIMARY KEY,
    ADD PRIMARY KEY (tenant, name);
