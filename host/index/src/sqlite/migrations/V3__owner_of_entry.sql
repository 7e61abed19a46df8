-- The fingerprint of the token that reserved an entry: only its own save may take an entry for what it has saved.

ALTER TABLE entries ADD COLUMN owner TEXT; -- NULL: made before there was this column
