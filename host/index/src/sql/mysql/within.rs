//! The statements about parts of a tenant's entries and uploads, and about quarantine.

use super::{
    MySql, by_use,
    statements::{Db, MySqlQuery, execute, fetch_all, json},
    texts::{entry_columns, upload_columns},
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

/// Rows in a repository, with this condition on the key.
macro_rules! near {
    ($columns:expr, $table:literal, $index:literal, $key:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " FORCE INDEX (",
            $index,
            ") WHERE tenant = ? AND repository_head = ? AND ",
            $key,
            " LIMIT ?"
        )
    };
}

/// The columns that [`rows::near`] reads, as the list of a `SELECT`.
macro_rules! near_columns {
    () => {
        concat!(entry_columns!(), ", quarantined_ms")
    };
}

pub(super) const NEAR: &str =
    near!(near_columns!(), "entries", "entries_near", "key_head = ? ORDER BY id DESC");

pub(super) const NEAR_RANGE: &str =
    near!(near_columns!(), "entries", "entries_near", "key_head >= ? AND key_head < ?");

pub(super) const UPLOADS_NEAR: &str =
    near!(upload_columns!(), "uploads", "uploads_near", "key_head = ? ORDER BY id DESC");

pub(super) const UPLOADS_NEAR_RANGE: &str =
    near!(upload_columns!(), "uploads", "uploads_near", "key_head >= ? AND key_head < ?");

pub(super) const UPLOADS_IN_SCOPE: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM uploads FORCE INDEX (uploads_in_scope) \
     WHERE tenant = ? AND repository_head = ? AND scope_head = ? AND id > ? ORDER BY id LIMIT ?"
);

/// Inverts the first byte of the place, there and back.
pub(super) const SET_QUARANTINED: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]')) AS chosen \
     STRAIGHT_JOIN entries ON entries.id = chosen.id \
     SET entries.place = CONCAT(CHAR(ASCII(entries.place) ^ 255), SUBSTRING(entries.place, 2)), \
     entries.quarantined_ms = ? \
     WHERE entries.tenant = ? AND (entries.quarantined_ms IS NULL) = (? IS NOT NULL)";

impl WithinStatements for MySql {
    async fn least_recent<L: ListedRow>(
        db: &mut Db<'_>,
        within: &Within,
        trust: Option<Trust>,
        after: (i64, i64),
        most: usize,
    ) -> Result<Vec<L>, Fault> {
        by_use::fetch(db, (within, false), trust, after, limit(most)).await
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
        let mut chosen: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), 0)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let at_ms = at_ms.map(integer);
        let statement =
            sqlx::query(SET_QUARANTINED).bind(json(&chosen)?).bind(at_ms).bind(db.tenant()).bind(at_ms);
        Ok(usize::try_from(execute(db.connection, statement).await?).unwrap_or(usize::MAX))
    }
}

/// The first statement is that of a key, the other that of a prefix.
fn near<'q>(
    db: &Db<'q>,
    [key, range]: [&'static str; 2],
    place: &'q KeyPlace,
    most: usize,
) -> MySqlQuery<'q> {
    match place.prefix() {
        None => db.query(key).bind(place.repository()).bind(place.key()).bind(limit(most)),
        Some(HeadRange { low, high }) => {
            db.query(range).bind(place.repository()).bind(low).bind(high).bind(limit(most))
        }
    }
}
