//! The statements about the deletion of entries and those that were deleted.

use super::{
    Postgres,
    statements::{Db, execute, fetch_all, fetch_optional},
};
use crate::{
    Departed, Departure, EntryId, MatchKind,
    departed::{MAX_PREFIX_DEPARTED, clipped},
    sql::{
        departed::{DepartedStatements, departed_columns},
        fault::Fault,
        rows::{self, Columns as _, integer, limit},
    },
};

/// A text as [`clipped`] makes it.
macro_rules! clipped {
    ($text:literal) => {
        concat!(
            "CASE WHEN octet_length(",
            $text,
            ") > 255 THEN substring(",
            $text,
            " FROM 1 FOR 200) || convert_to(encode(sha256(",
            $text,
            "), 'hex'), 'UTF8') ELSE ",
            $text,
            " END"
        )
    };
}

/// Waits for transactions that change the row.
pub(super) const DELETE_ENTRY: &str = concat!(
    "WITH gone AS (DELETE FROM entries WHERE tenant || '' = $1 AND id = $2 AND used_ms <= $3 RETURNING *) \
     INSERT INTO departed (tenant, entry, repository, scope, version, key, compared, object, size_bytes, created_ms, used_ms, \
     uses, trust, departed_ms, cause) SELECT tenant, id, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", ",
    clipped!("version"),
    ", ",
    clipped!("key"),
    ", ",
    clipped!("coalesce(folded, key)"),
    ", object, size_bytes, created_ms, used_ms, uses, trust, $4::bigint, $5::bytea FROM gone"
);

/// Of any tenant, with the keys as they are compared from now on.
pub(super) const DELETE_SUPERSEDED: &str = concat!(
    "WITH gone AS (DELETE FROM entries USING unnest($1::bigint[], $2::bytea[]) AS listed (id, compared) \
       WHERE entries.id = listed.id RETURNING entries.*, listed.compared) \
     INSERT INTO departed (tenant, entry, repository, scope, version, key, compared, object, size_bytes, created_ms, used_ms, \
     uses, trust, departed_ms, cause) SELECT tenant, id, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", ",
    clipped!("version"),
    ", ",
    clipped!("key"),
    ", compared, object, size_bytes, created_ms, used_ms, uses, trust, $3::bigint, $4::bytea FROM gone"
);

// Each order is that of one index and of no other, so the rows of others are not read.

pub(super) const BY_KEY: &str = concat!(
    "SELECT ",
    departed_columns!("key"),
    " FROM (SELECT * FROM departed \
       WHERE (tenant, repository, compared, id) < ($1, $2, $3, 9223372036854775807) \
       ORDER BY tenant DESC, repository DESC, compared DESC, id DESC LIMIT $4) AS page \
     WHERE tenant = $1 AND repository = $2 AND compared = $3 ORDER BY id DESC"
);

/// `$3` is a prefix, `$5` how many are looked at.
pub(super) const BY_PREFIX: &str = concat!(
    "SELECT ",
    departed_columns!("key"),
    " FROM (SELECT * FROM departed WHERE (tenant, repository, id) < ($1, $2, 9223372036854775807) \
       ORDER BY tenant DESC, repository DESC, id DESC LIMIT $5) AS page \
     WHERE tenant = $1 AND repository = $2 AND substring(compared FROM 1 FOR octet_length($3::bytea)) = $3 \
     ORDER BY id DESC LIMIT $4"
);

/// `$2` is the number of those that stay, less one.
pub(super) const FIRST_TO_STAY: &str = "SELECT id FROM departed \
     WHERE (tenant, id) >= ($1, 0) AND (tenant, id) <= ($1, 9223372036854775807) \
     ORDER BY tenant DESC, id DESC LIMIT 1 OFFSET $2";

pub(super) const TRIM: &str = "DELETE FROM departed WHERE id = ANY (ARRAY( \
       SELECT id FROM departed WHERE (tenant, id) >= ($1, 0) AND (tenant, id) < ($1, $2) AND object IS NULL \
       ORDER BY tenant, id LIMIT $3))";

impl DepartedStatements for Postgres {
    async fn delete_entry(
        db: &mut Db<'_>,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, Fault> {
        let statement = db
            .query(DELETE_ENTRY)
            .bind(integer(id.0))
            .bind(integer(last_used_ms))
            .bind(integer(departure.at_ms))
            .bind(departure.cause.to_string().into_bytes());
        Ok(execute(db.connection, statement).await? > 0)
    }

    async fn find_departed(
        db: &mut Db<'_>,
        repository: &str,
        key: &str,
        kind: MatchKind,
        most: usize,
    ) -> Result<Vec<Departed>, Fault> {
        let (repository, key) = (clipped(repository.as_bytes()), key.as_bytes());
        let statement = match kind {
            MatchKind::Exact => {
                db.query(BY_KEY).bind(&*repository).bind(clipped(key).into_owned()).bind(limit(most))
            }
            MatchKind::Prefix => db
                .query(BY_PREFIX)
                .bind(&*repository)
                .bind(key)
                .bind(limit(most))
                .bind(limit(MAX_PREFIX_DEPARTED)),
        };
        fetch_all(db.connection, statement, rows::departed).await
    }

    async fn trim_departed(db: &mut Db<'_>, most: usize, some: usize) -> Result<usize, Fault> {
        let before = match most.checked_sub(1) {
            None => i64::MAX,
            Some(last) => {
                let first = db.query(FIRST_TO_STAY).bind(limit(last));
                let first = fetch_optional(db.connection, first, |row| row.integer(0)).await?.flatten();
                let Some(first) = first else { return Ok(0) };
                first
            }
        };
        let trim = db.query(TRIM).bind(before).bind(limit(some));
        Ok(usize::try_from(execute(db.connection, trim).await?).unwrap_or(usize::MAX))
    }
}
