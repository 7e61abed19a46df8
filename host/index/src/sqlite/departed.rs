//! The deletion of entries, and the statements about those that were deleted.

use larder_storage::ObjectName;
use rusqlite::{OptionalExtension as _, Row, params, types::Type};

use super::{
    rows::{self, compared_key, entry_columns, integer},
    tenant::TenantConnection,
};
use crate::{
    Cause, Departed, Departure, EntryId, KeyRule, MatchKind, Slot,
    departed::{MAX_PREFIX_DEPARTED, clipped},
};

pub(super) const LEAVING: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", uses, trust, ",
    compared_key!(),
    " FROM entries WHERE tenant = ?1 AND id = ?2 AND used_ms <= ?3"
);

const RECORD: &str = "INSERT INTO departed \
     (tenant, entry, repository, scope, version, key, compared, object, size_bytes, created_ms, used_ms, uses, trust, \
     departed_ms, cause) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

pub(super) const DELETE_ENTRY: &str = "DELETE FROM entries WHERE tenant = ?1 AND id = ?2";

/// The columns that [`departed`] reads.
macro_rules! departed_columns {
    () => {
        "entry, repository, scope, version, key, object, size_bytes, created_ms, used_ms, uses, trust, departed_ms, cause, \
         compared"
    };
}

pub(super) const BY_KEY: &str = concat!(
    "SELECT ",
    departed_columns!(),
    " FROM departed INDEXED BY departed_by_key \
     WHERE tenant = ?1 AND repository = ?2 AND compared = ?3 ORDER BY id DESC LIMIT ?4"
);

pub(super) const LATEST: &str = concat!(
    "SELECT ",
    departed_columns!(),
    " FROM departed INDEXED BY departed_by_repository \
     WHERE tenant = ?1 AND repository = ?2 ORDER BY id DESC LIMIT ?3"
);

/// `?2` is the number of those that stay, less one.
pub(super) const FIRST_TO_STAY: &str = "SELECT id FROM departed INDEXED BY departed_by_tenant \
     WHERE tenant = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";

pub(super) const TRIM: &str = "DELETE FROM departed WHERE id IN ( \
       SELECT id FROM departed INDEXED BY departed_by_tenant \
       WHERE tenant = ?1 AND id < ?2 AND object IS NULL ORDER BY id LIMIT ?3)";

/// See [`crate::Index::delete_entry`] and [`crate::Index::delete_entry_unused`].
pub(super) fn delete_entry(
    conn: TenantConnection<'_>,
    id: EntryId,
    last_used_ms: u64,
    departure: &Departure,
) -> rusqlite::Result<bool> {
    let mut leaving = conn.prepare(LEAVING)?;
    let mut found = leaving.query(params![conn.tenant(), integer(id.0), integer(last_used_ms)])?;
    let Some(row) = found.next()? else { return Ok(false) };
    record(conn, row, departure)?;
    drop(found);
    conn.prepare(DELETE_ENTRY)?.execute(params![conn.tenant(), integer(id.0)])?;
    Ok(true)
}

/// Records the departure of an entry, from a row of [`LEAVING`].
fn record(conn: TenantConnection<'_>, row: &Row<'_>, departure: &Departure) -> rusqlite::Result<()> {
    let entry = rows::entry(row)?;
    let slot = &entry.slot;
    conn.prepare(RECORD)?.execute(params![
        conn.tenant(),
        integer(entry.id.0),
        clipped(slot.repository.as_bytes()),
        clipped(slot.scope.as_bytes()),
        clipped(slot.version.as_bytes()),
        clipped(slot.key.as_bytes()),
        clipped(row.get_ref(12)?.as_blob()?),
        entry.object.as_str(),
        integer(entry.size_bytes),
        integer(entry.created_ms),
        integer(entry.last_used_ms),
        row.get::<_, Option<i64>>(10)?,
        row.get::<_, Option<i64>>(11)?,
        integer(departure.at_ms),
        departure.cause.to_string(),
    ])?;
    Ok(())
}

/// See [`crate::Index::find_departed`].
pub(super) fn find(
    conn: TenantConnection<'_>,
    rule: KeyRule,
    repository: &str,
    key: &str,
    kind: MatchKind,
    limit: usize,
) -> rusqlite::Result<Vec<Departed>> {
    let (repository, key) = (clipped(repository.as_bytes()), rule.compared(key));
    let key = key.as_bytes();
    match kind {
        MatchKind::Exact => conn
            .prepare(BY_KEY)?
            .query_map(params![conn.tenant(), repository, clipped(key), rows::limit(limit)], departed)?
            .collect(),
        MatchKind::Prefix => {
            let mut latest = conn.prepare(LATEST)?;
            let most = rows::limit(MAX_PREFIX_DEPARTED);
            let mut latest = latest.query(params![conn.tenant(), repository, most])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = latest.next()?
            {
                if row.get_ref(13)?.as_blob()?.starts_with(key) {
                    found.push(departed(row)?);
                }
            }
            Ok(found)
        }
    }
}

/// See [`crate::Index::trim_departed`].
pub(super) fn trim(conn: TenantConnection<'_>, most: usize, limit: usize) -> rusqlite::Result<usize> {
    let before = match most.checked_sub(1) {
        None => i64::MAX,
        Some(last) => {
            let mut statement = conn.prepare(FIRST_TO_STAY)?;
            let stays = params![conn.tenant(), rows::limit(last)];
            let Some(first) = statement.query_one(stays, |row| row.get(0)).optional()? else { return Ok(0) };
            first
        }
    };
    conn.prepare(TRIM)?.execute(params![conn.tenant(), before, rows::limit(limit)])
}

fn departed(row: &Row<'_>) -> rusqlite::Result<Departed> {
    let object = row.get::<_, Option<String>>(5)?.map(ObjectName::parse).transpose();
    Ok(Departed {
        entry: EntryId(rows::number(row, 0)?),
        slot: Slot {
            repository: clipped_text(row, 1)?,
            scope: clipped_text(row, 2)?,
            version: clipped_text(row, 3)?,
            key: clipped_text(row, 4)?,
        },
        object: object.map_err(|error| rows::invalid(5, Type::Text, error))?,
        size_bytes: rows::number(row, 6)?,
        created_ms: rows::number(row, 7)?,
        last_used_ms: rows::number(row, 8)?,
        uses: rows::optional_number(row, 9)?,
        trust: rows::trust(row, 10)?,
        departure: Departure {
            at_ms: rows::number(row, 11)?,
            cause: Cause::parse(row.get_ref(12)?.as_str()?),
        },
    })
}

/// Reads a text that may have been cut within a character.
fn clipped_text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_blob()?).into_owned())
}
