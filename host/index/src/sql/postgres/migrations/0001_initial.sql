-- The client's texts are bytes: compared byte for byte, and right with NUL bytes in them. They may be longer than an index
-- takes, so SHA-256 stands for them there: `place` for repository, scope and version, `slot` for these and the key. The
-- program makes both.

CREATE TABLE entries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- a number is never used again
    slot        bytea  NOT NULL,
    place       bytea  NOT NULL,
    repository  bytea  NOT NULL,
    scope       bytea  NOT NULL,
    version     bytea  NOT NULL,
    key         bytea  NOT NULL,
    key_head    bytea  NOT NULL GENERATED ALWAYS AS (substring(key FROM 1 FOR 255)) STORED,
    block       bigint NOT NULL GENERATED ALWAYS AS (id >> 12) STORED, -- entries made about the same time
    object      bytea  NOT NULL,
    size_bytes  bigint NOT NULL,
    created_ms  bigint NOT NULL,
    used_ms     bigint NOT NULL,
    boot        bytea,                                           -- NULL: the content is durable
    upload      bigint NOT NULL                                  -- what it was made of
) WITH (fillfactor = 85); -- room for a new time of use beside the old one, so that no index has to change

CREATE UNIQUE INDEX entries_by_slot ON entries (slot);

-- The searches for a prefix: through the keys that have it; from the newest entry backwards; and from the newest block
-- backwards, through the keys in it that have the prefix.
CREATE INDEX entries_by_key ON entries (place, key_head, id);
CREATE INDEX entries_by_age ON entries (place, id) INCLUDE (key_head);
CREATE INDEX entries_by_block ON entries (place, block, key_head, id);

CREATE INDEX entries_by_object ON entries (object);

CREATE INDEX entries_by_upload ON entries (upload);

CREATE INDEX entries_volatile ON entries (id) WHERE boot IS NOT NULL;

CREATE TABLE uploads (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        bytea  NOT NULL,
    slot        bytea  NOT NULL,
    place       bytea  NOT NULL,
    repository  bytea  NOT NULL,
    scope       bytea  NOT NULL,
    version     bytea  NOT NULL,
    key         bytea  NOT NULL,
    owner       bytea  NOT NULL,
    created_ms  bigint NOT NULL,
    active_ms   bigint NOT NULL,
    object      bytea,
    size_bytes  bigint,
    CHECK ((object IS NULL) = (size_bytes IS NULL))
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX uploads_by_slot ON uploads (slot);

CREATE UNIQUE INDEX uploads_by_name ON uploads (name);

CREATE INDEX uploads_by_object ON uploads (object) WHERE object IS NOT NULL;

CREATE TABLE secrets (
    name   bytea NOT NULL PRIMARY KEY,
    value  bytea NOT NULL
);
