-- What jobs found, restored and saved, hour by hour: once for each tool, and once for each workflow.

CREATE TABLE history (
    tenant         VARBINARY(63)  NOT NULL,
    hour           BIGINT         NOT NULL, -- since 1970
    kind           BIGINT         NOT NULL, -- 0: the name is a tool, 1: a workflow
    repository     VARBINARY(255) NOT NULL,
    name           VARBINARY(255) NOT NULL,
    hits           BIGINT         NOT NULL,
    misses         BIGINT         NOT NULL,
    stale          BIGINT         NOT NULL,
    served_bytes   BIGINT         NOT NULL,
    saved_bytes    BIGINT         NOT NULL,
    evicted_bytes  BIGINT         NOT NULL,
    ghosts_10gb    BIGINT         NOT NULL, -- misses that 10 GB more would have made hits
    ghosts_50gb    BIGINT         NOT NULL,
    ghosts_100gb   BIGINT         NOT NULL,
    PRIMARY KEY (tenant, hour, kind, repository, name)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- The last batch of each process, so that none is added twice.
CREATE TABLE history_writers (
    tenant    VARBINARY(63) NOT NULL,
    writer    VARBINARY(64) NOT NULL,
    batch     BIGINT        NOT NULL,
    added_ms  BIGINT        NOT NULL,
    PRIMARY KEY (tenant, writer)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
