//! The statements about parts of a tenant's entries and uploads, and about quarantine.

use rusqlite::{Row, params};

use super::{
    rows::{self, compared_key, entry_columns, integer, upload_columns},
    tenant::TenantConnection,
};
use crate::{Entry, EntryId, MatchKind, Near, Trust, Upload, UploadId, Within, within::merged};

/// What counts as the trust of an entry, as [`Trust::of`]. This is the expression of the database
/// indexes: a statement uses an index only if it has exactly this text.
macro_rules! trusted {
    () => {
        "coalesce(trust, substr(scope, 1, 10) <> x'726566732f70756c6c2f')"
    };
}

/// A page in the order of last use, in a part of an index: the rest of those that were used at one time,
/// or those that were used later. One comparison of both columns would not be searched by the index.
macro_rules! least_recent {
    ($index:literal, $place:literal, $part:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND ",
            trusted!(),
            " = ?2",
            $place,
            $part,
            " ORDER BY used_ms, id LIMIT ?5"
        )
    };
}

/// Both parts.
macro_rules! both_parts {
    ($index:literal, $place:literal) => {
        [
            least_recent!($index, $place, " AND used_ms = ?3 AND id > ?4"),
            least_recent!($index, $place, " AND used_ms > ?3"),
        ]
    };
}

pub(super) const OF_TENANT: [&str; 2] = both_parts!("entries_by_use", "");

pub(super) const OF_REPOSITORY: [&str; 2] =
    both_parts!("entries_by_use_in_repository", " AND repository = ?6");

pub(super) const OF_SCOPE: [&str; 2] =
    both_parts!("entries_by_use_in_scope", " AND repository = ?6 AND scope = ?7");

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

/// See [`crate::Index::least_recent`].
pub(super) fn least_recent(
    conn: TenantConnection<'_>,
    within: &Within,
    trust: Option<Trust>,
    after: Option<(u64, EntryId)>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    if let Some(trust) = trust {
        return of_trust(conn, within, trust, after, limit);
    }
    let _snapshot = conn.snapshot()?;
    let low = of_trust(conn, within, Trust::Low, after, limit)?;
    Ok(merged(low, of_trust(conn, within, Trust::Full, after, limit)?, limit))
}

fn of_trust(
    conn: TenantConnection<'_>,
    within: &Within,
    trust: Trust,
    after: Option<(u64, EntryId)>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let (used_ms, id) = after.map_or((-1, -1), |(used_ms, id)| (integer(used_ms), integer(id.0)));
    let (texts, repository, scope) = match within {
        Within::Tenant => (OF_TENANT, None, None),
        Within::Repository(repository) => (OF_REPOSITORY, Some(repository), None),
        Within::Scope { repository, scope } => (OF_SCOPE, Some(repository), Some(scope)),
    };
    let place = [repository, scope].into_iter().flatten().map(String::as_bytes);
    for text in texts {
        let rest = limit - found.len();
        if rest == 0 {
            break;
        }
        let mut statement = conn.prepare(text)?;
        for (number, value) in [trust.number(), used_ms, id, rows::limit(rest)].into_iter().enumerate() {
            statement.raw_bind_parameter(number + 2, value)?;
        }
        statement.raw_bind_parameter(1, conn.tenant())?;
        for (number, value) in place.clone().enumerate() {
            statement.raw_bind_parameter(number + 6, value)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            found.push(rows::entry(row)?);
        }
    }
    Ok(found)
}

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
