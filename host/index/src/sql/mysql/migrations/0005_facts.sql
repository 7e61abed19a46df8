-- Who saved an entry, how often it was used, and what repositories are called. `facts` is a JSON object of texts. No row is
-- written, and a server of the release before can go on meanwhile: what it makes has no facts.

ALTER TABLE entries ADD COLUMN uses BIGINT, ADD COLUMN facts BLOB; -- NULL: made before there were these columns

ALTER TABLE uploads ADD COLUMN facts BLOB;

CREATE TABLE repositories (
    tenant      VARBINARY(63)  NOT NULL,
    repository  VARBINARY(255) NOT NULL,
    name        VARBINARY(255) NOT NULL,
    folded      VARBINARY(255) NOT NULL, -- the name in lower case
    named_ms    BIGINT         NOT NULL, -- when the token was issued that has this name
    PRIMARY KEY (tenant, repository),
    KEY repositories_by_name (tenant, folded, named_ms),
    KEY repositories_by_age (tenant, named_ms, repository)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
