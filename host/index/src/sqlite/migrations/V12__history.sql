-- What jobs found, restored and saved, hour by hour: once for each tool, and once for each workflow.

CREATE TABLE history (
    tenant         TEXT    NOT NULL,
    hour           INTEGER NOT NULL, -- since 1970
    kind           INTEGER NOT NULL, -- 0: the name is a tool, 1: a workflow
    repository     BLOB    NOT NULL,
    name           BLOB    NOT NULL,
    hits           INTEGER NOT NULL,
    misses         INTEGER NOT NULL,
    stale          INTEGER NOT NULL,
    served_bytes   INTEGER NOT NULL,
    saved_bytes    INTEGER NOT NULL,
    evicted_bytes  INTEGER NOT NULL,
    ghosts_10gb    INTEGER NOT NULL, -- misses that 10 GB more would have made hits
    ghosts_50gb    INTEGER NOT NULL,
    ghosts_100gb   INTEGER NOT NULL,
    PRIMARY KEY (tenant, hour, kind, repository, name)
) STRICT, WITHOUT ROWID;

-- The last batch of each process, so that none is added twice.
CREATE TABLE history_writers (
    tenant    TEXT    NOT NULL,
    writer    TEXT    NOT NULL,
    batch     INTEGER NOT NULL,
    added_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant, writer)
) STRICT, WITHOUT ROWID;
