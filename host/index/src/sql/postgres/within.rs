//! The statements about parts of a tenant's entries and uploads, and about quarantine.

use super::{
    Postgres, by_use,
    statements::{Db, PgQuery, entry_columns, execute, fetch_all, sorted, upload_columns},
};
use crate::{
    EntryId, Near, Trust, Upload, UploadId, Within,
    sql::{
        digest::HeadRange,
        fault::Fault,
        rows::{self, integer, limit},
        within::{KeyPlace, ListedRow, WithinStatements, head},
    },
};

/// The head of a column. This is the expression of the database indexes.
macro_rules! head {
    ($column:literal) => {
        concat!("substring(", $column, " FROM 1 FOR 255)")
    };
}

/// Rows with a key in a repository, the newest first.
macro_rules! near {
    ($columns:expr, $table:literal, $key:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT * FROM ",
            $table,
            " WHERE (tenant, ",
            head!("repository"),
            ", ",
            $key,
            ", id) < ($1, $2::bytea, $3::bytea, 9223372036854775807) ORDER BY tenant DESC, ",
            head!("repository"),
            " DESC, ",
            $key,
            " DESC, id DESC LIMIT $4) AS page WHERE tenant = $1 AND ",
            head!("repository"),
            " = $2 AND ",
            $key,
            " = $3 ORDER BY id DESC"
        )
    };
}

/// Rows in a repository with keys from `$3` to before `$5`, in the order of the index.
macro_rules! near_range {
    ($columns:expr, $table:literal, $key:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT * FROM ",
            $table,
            " WHERE (tenant, ",
            head!("repository"),
            ", ",
            $key,
            ", id) >= ($1, $2::bytea, $3::bytea, 0) ORDER BY tenant, ",
            head!("repository"),
            ", ",
            $key,
            ", id LIMIT $4) AS page WHERE tenant = $1 AND ",
            head!("repository"),
            " = $2 AND ",
            $key,
            " < $5"
        )
    };
}

/// The columns that [`rows::near`] reads, as the list of a `SELECT`.
macro_rules! near_columns {
    () => {
        concat!(entry_columns!(), ", quarantined_ms")
    };
}

pub(super) const NEAR: &str = near!(near_columns!(), "entries", "key_head");

pub(super) const NEAR_RANGE: &str = near_range!(near_columns!(), "entries", "key_head");

pub(super) const UPLOADS_NEAR: &str = near!(upload_columns!(), "uploads", head!("coalesce(folded, key)"));

pub(super) const UPLOADS_NEAR_RANGE: &str =
    near_range!(upload_columns!(), "uploads", head!("coalesce(folded, key)"));

pub(super) const UPLOADS_IN_SCOPE: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM (SELECT * FROM uploads WHERE (tenant, ",
    head!("repository"),
    ", ",
    head!("scope"),
    ", id) > ($1, $2::bytea, $3::bytea, $4::bigint) ORDER BY tenant, ",
    head!("repository"),
    ", ",
    head!("scope"),
    ", id LIMIT $5) AS page WHERE tenant = $1 AND ",
    head!("repository"),
    " = $2 AND ",
    head!("scope"),
    " = $3 ORDER BY id"
);

/// Inverts the first byte of the place, there and back.
pub(super) const SET_QUARANTINED: &str = "UPDATE entries \
     SET quarantined_ms = $3::bigint, place = set_byte(place, 0, get_byte(place, 0) # 255) \
     WHERE tenant || '' = $1 AND id = ANY ($2::bigint[]) AND (quarantined_ms IS NULL) = ($3::bigint IS NOT NULL)";

impl WithinStatements for Postgres {
    async fn least_recent<L: ListedRow>(
        db: &mut Db<'_>,
        within: &Within,
        trust: Option<Trust>,
        after: (i64, i64),
        most: usize,
    ) -> Result<Vec<L>, Fault> {
        let statement = by_use::query::<L>(db, (within, false), trust, after, limit(most));
        fetch_all(db.connection, statement, L::read).await
    }

    async fn near(db: &mut Db<'_>, place: &KeyPlace, most: usize) -> Result<Vec<Near>, Fault> {
        let statement = near(db, [NEAR, NEAR_RANGE], place, most);
        fetch_all(db.connection, statement, rows::near).await
    }

    async fn uploads_near(db: &mut Db<'_>, place: &KeyPlace, most: usize) -> Result<Vec<Upload>, Fault> {
        let statement = near(db, [UPLOADS_NEAR, UPLOADS_NEAR_RANGE], place, most);
        fetch_all(db.connection, statement, rows::upload).await
    }

    async fn uploads_in_scope(
        db: &mut Db<'_>,
        [repository, scope]: [&str; 2],
        after: UploadId,
        most: usize,
    ) -> Result<Vec<Upload>, Fault> {
        let statement = db
            .query(UPLOADS_IN_SCOPE)
            .bind(head(repository))
            .bind(head(scope))
            .bind(integer(after.0))
            .bind(limit(most));
        fetch_all(db.connection, statement, rows::upload).await
    }

    async fn set_quarantined(db: &mut Db<'_>, ids: &[EntryId], at_ms: Option<u64>) -> Result<usize, Fault> {
        let statement = db.query(SET_QUARANTINED).bind(sorted(ids)).bind(at_ms.map(integer));
        Ok(usize::try_from(execute(db.connection, statement).await?).unwrap_or(usize::MAX))
    }
}

/// The first statement is that of a key, the other that of a prefix.
fn near<'q>(db: &Db<'q>, [key, range]: [&'static str; 2], place: &'q KeyPlace, most: usize) -> PgQuery<'q> {
    match place.prefix() {
        None => db.query(key).bind(place.repository()).bind(place.key()).bind(limit(most)),
        Some(HeadRange { low, high }) => {
            db.query(range).bind(place.repository()).bind(low).bind(limit(most)).bind(high)
        }
    }
}
