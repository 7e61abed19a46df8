//! The statements about parts of a tenant's entries and uploads, and about quarantine.

use rusqlite::{Row, params};

use super::{
    rows::{self, compared_key, entry_columns, integer, upload_columns},
    tenant::TenantConnection,
};
use crate::{EntryId, MatchKind, Near, Upload, UploadId};

/// Rows with a key in a repository, the newest first.
macro_rules! of_key {
    ($columns:expr, $table:literal, $index:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND repository = ?2 AND ",
            compared_key!(),
            " = ?3 ORDER BY id DESC LIMIT ?4"
        )
    };
}

/// Rows in a repository from a key on, with the compared key in the last column. No upper bound: the
/// caller stops at the first key without the prefix.
macro_rules! from_key {
    ($columns:expr, $table:literal, $index:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", ",
            compared_key!(),
            " FROM ",
            $table,
            " INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND repository = ?2 AND ",
            compared_key!(),
            " >= ?3 ORDER BY ",
            compared_key!(),
            " LIMIT ?4"
        )
    };
}

/// The columns of [`Near`].
macro_rules! near_columns {
    () => {
        concat!(entry_columns!(), ", quarantined_ms")
    };
}

pub(super) const NEAR: &str = of_key!(near_columns!(), "entries", "entries_near");

pub(super) const NEAR_FROM: &str = from_key!(near_columns!(), "entries", "entries_near");

pub(super) const UPLOADS_NEAR: &str = of_key!(upload_columns!(), "uploads", "uploads_near");

pub(super) const UPLOADS_NEAR_FROM: &str = from_key!(upload_columns!(), "uploads", "uploads_near");

pub(super) const UPLOADS_IN_SCOPE: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM uploads INDEXED BY uploads_in_scope \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND id > ?4 ORDER BY id LIMIT ?5"
);

pub(super) const SET_QUARANTINED: &str = "UPDATE entries SET quarantined_ms = ?3 \
     WHERE tenant = ?1 AND id = ?2 AND (quarantined_ms IS NULL) = (?3 IS NOT NULL)";

/// See [`crate::Index::list_near`]. The place is the repository and the compared key.
pub(super) fn near(
    conn: TenantConnection<'_>,
    place: [&str; 2],
    kind: MatchKind,
    limit: usize,
) -> rusqlite::Result<Vec<Near>> {
    let read = |row: &Row<'_>| {
        Ok(Near { entry: rows::entry(row)?, quarantined: row.get::<_, Option<i64>>(10)?.is_some() })
    };
    match kind {
        MatchKind::Exact => with_key(conn, NEAR, place, limit, None, read),
        MatchKind::Prefix => with_key(conn, NEAR_FROM, place, limit, Some(11), read),
    }
}

/// See [`crate::Index::uploads_near`]. The place is the repository and the compared key.
pub(super) fn uploads_near(
    conn: TenantConnection<'_>,
    place: [&str; 2],
    kind: MatchKind,
    limit: usize,
) -> rusqlite::Result<Vec<Upload>> {
    match kind {
        MatchKind::Exact => with_key(conn, UPLOADS_NEAR, place, limit, None, rows::upload),
        MatchKind::Prefix => with_key(conn, UPLOADS_NEAR_FROM, place, limit, Some(12), rows::upload),
    }
}

/// Reads rows up to the first one whose column `compared` does not begin with the key.
fn with_key<T>(
    conn: TenantConnection<'_>,
    sql: &str,
    [repository, key]: [&str; 2],
    limit: usize,
    compared: Option<usize>,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = conn.prepare(sql)?;
    let place = params![conn.tenant(), repository.as_bytes(), key.as_bytes(), rows::limit(limit)];
    let mut rows = statement.query(place)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(column) = compared
            && !row.get_ref(column)?.as_blob()?.starts_with(key.as_bytes())
        {
            break;
        }
        found.push(read(row)?);
    }
    Ok(found)
}

/// See [`crate::Index::uploads_in_scope`].
pub(super) fn uploads_in_scope(
    conn: TenantConnection<'_>,
    repository: &str,
    scope: &str,
    after: UploadId,
    limit: usize,
) -> rusqlite::Result<Vec<Upload>> {
    let (repository, scope) = (repository.as_bytes(), scope.as_bytes());
    conn.prepare(UPLOADS_IN_SCOPE)?
        .query_map(
            params![conn.tenant(), repository, scope, integer(after.0), rows::limit(limit)],
            rows::upload,
        )?
        .collect()
}

/// See [`crate::Index::set_quarantined`].
pub(super) fn set_quarantined(
    conn: TenantConnection<'_>,
    ids: &[EntryId],
    at_ms: Option<u64>,
) -> rusqlite::Result<usize> {
    let mut statement = conn.prepare(SET_QUARANTINED)?;
    let mut changed = 0;
    for id in ids {
        changed += statement.execute(params![conn.tenant(), integer(id.0), at_ms.map(integer)])?;
    }
    Ok(changed)
}
