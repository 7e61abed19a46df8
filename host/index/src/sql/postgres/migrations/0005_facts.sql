-- Who saved an entry, how often it was used, and what repositories are called. `facts` is a JSON object of texts. No row is
-- written, and a server of the release before can go on meanwhile: what it makes has no facts.

ALTER TABLE entries ADD COLUMN uses bigint, ADD COLUMN facts bytea; -- NULL: made before there were these columns
ALTER TABLE uploads ADD COLUMN facts bytea;

CREATE TABLE repositories (
    tenant      bytea  NOT NULL,
    repository  bytea  NOT NULL,
    name        bytea  NOT NULL,
    folded      bytea  NOT NULL, -- the name in lower case
    named_ms    bigint NOT NULL, -- when the token was issued that has this name
    PRIMARY KEY (tenant, repository)
);

CREATE INDEX repositories_by_name ON repositories (tenant, folded, named_ms);
CREATE INDEX repositories_by_age ON repositories (tenant, named_ms, repository);
