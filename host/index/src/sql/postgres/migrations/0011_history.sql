-- What jobs found, restored and saved, hour by hour: once for each tool, and once for each workflow.

CREATE TABLE history (
    tenant         bytea  NOT NULL,
    hour           bigint NOT NULL, -- since 1970
    kind           bigint NOT NULL, -- 0: the name is a tool, 1: a workflow
    repository     bytea  NOT NULL,
    name           bytea  NOT NULL,
    hits           bigint NOT NULL,
    misses         bigint NOT NULL,
    stale          bigint NOT NULL,
    served_bytes   bigint NOT NULL,
    saved_bytes    bigint NOT NULL,
    evicted_bytes  bigint NOT NULL,
    ghosts_10gb    bigint NOT NULL, -- misses that 10 GB more would have made hits
    ghosts_50gb    bigint NOT NULL,
    ghosts_100gb   bigint NOT NULL,
    PRIMARY KEY (tenant, hour, kind, repository, name)
);

-- The last batch of each process, so that none is added twice.
CREATE TABLE history_writers (
    tenant    bytea  NOT NULL,
    writer    bytea  NOT NULL,
    batch     bigint NOT NULL,
    added_ms  bigint NOT NULL,
    PRIMARY KEY (tenant, writer)
);
