-- Who saved an entry, how often it was used, and what repositories are called. `facts` is a JSON object of texts. No look-up reads
-- these columns, and they are the last ones, so that their length costs a look-up nothing.

ALTER TABLE entries ADD COLUMN uses INTEGER; -- NULL: made before uses were counted
ALTER TABLE entries ADD COLUMN facts TEXT;   -- NULL: reserved before there were facts
ALTER TABLE uploads ADD COLUMN facts TEXT;

CREATE TABLE repositories (
    tenant      TEXT    NOT NULL,
    repository  BLOB    NOT NULL,
    name        BLOB    NOT NULL,
    folded      BLOB    NOT NULL, -- the name in lower case
    named_ms    INTEGER NOT NULL, -- when the token was issued that has this name
    PRIMARY KEY (tenant, repository)
) STRICT, WITHOUT ROWID;

CREATE INDEX repositories_by_name ON repositories (tenant, folded, named_ms);
CREATE INDEX repositories_by_age ON repositories (tenant, named_ms, repository);
