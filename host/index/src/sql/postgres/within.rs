//! The statements about parts of a tenant's entries and uploads, and about quarantine.

use super::{
    Postgres,
    statements::{Db, PgQuery, entry_columns, execute, fetch_all, sorted, upload_columns},
};
use crate::{
    Entry, EntryId, Near, Trust, Upload, UploadId, Within,
    sql::{
        digest::HeadRange,
        fault::Fault,
        rows::{self, integer, limit},
        within::{KeyPlace, WithinStatements, head},
    },
};

/// What counts as the trust of an entry, as [`Trust::of`]. This is the expression of the database
/// indexes.
macro_rules! trusted {
    () => {
        "coalesce(trust, (substring(scope FROM 1 FOR 10) <> 'refs/pull/'::bytea)::int)"
    };
}

/// The head of a column. This is the expression of the database indexes.
macro_rules! head {
    ($column:literal) => {
        concat!("substring(", $column, " FROM 1 FOR 255)")
    };
}

/// A page in the order of one index, which no other has: `$order` are its columns between the tenant and
/// the trust, `$values` their values, and `$condition` is the condition on them. What follows in the
/// index is read, and left out.
macro_rules! least_recent {
    ($order:expr, $values:literal, $condition:expr) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM (SELECT *, ",
            trusted!(),
            " AS trusted FROM entries WHERE (tenant, ",
            $order,
            trusted!(),
            ", used_ms, id) > ($1, ",
            $values,
            "$2::bigint, $3::bigint, $4::bigint) ORDER BY tenant, ",
            $order,
            trusted!(),
            ", used_ms, id LIMIT $5) AS page WHERE tenant = $1 AND trusted = $2",
            $condition,
            " ORDER BY used_ms, id"
        )
    };
}

pub(super) const OF_TENANT: &str = least_recent!("", "", "");

pub(super) const OF_REPOSITORY: &str = least_recent!(
    concat!(head!("repository"), ", "),
    "$6::bytea, ",
    concat!(" AND ", head!("repository"), " = $6")
);

pub(super) const OF_SCOPE: &str = least_recent!(
    concat!(head!("repository"), ", ", head!("scope"), ", "),
    "$6::bytea, $7::bytea, ",
    concat!(" AND ", head!("repository"), " = $6 AND ", head!("scope"), " = $7")
);

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
    async fn least_recent(
        db: &mut Db<'_>,
        within: &Within,
        trust: Trust,
        (used_ms, id): (i64, i64),
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let text = match within {
            Within::Tenant => OF_TENANT,
            Within::Repository(_) => OF_REPOSITORY,
            Within::Scope { .. } => OF_SCOPE,
        };
        let statement = db.query(text).bind(trust.number()).bind(used_ms).bind(id).bind(limit(most));
        let statement = match within {
            Within::Tenant => statement,
            Within::Repository(repository) => statement.bind(head(repository)),
            Within::Scope { repository, scope } => statement.bind(head(repository)).bind(head(scope)),
        };
        fetch_all(db.connection, statement, rows::entry).await
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
