//! Converts entries and uploads to columns and back.
//!
//! SQLite's integers are signed. A number that does not fit is stored as the largest one. Ids never
//! grow that large, so such an id matches nothing.

use larder_storage::{Digest, ObjectName, UploadName};
use rusqlite::{
    Row,
    types::{FromSqlError, Type},
};

use crate::{Attachment, Entry, EntryId, Slot, Trust, Upload, UploadId, digest_text};

/// The columns that [`entry`] reads, as the list of a `SELECT`.
macro_rules! entry_columns {
    () => {
        "id, repository, scope, version, key, object, size_bytes, created_ms, used_ms, owner"
    };
}

/// The columns that [`upload`] reads, as the list of a `SELECT`.
macro_rules! upload_columns {
    () => {
        "id, repository, scope, version, key, name, owner, created_ms, active_ms, object, size_bytes, trust"
    };
}

/// The key as it is compared. This is the expression of the database indexes: a statement uses an
/// index only if it has exactly this text.
macro_rules! compared_key {
    () => {
        "coalesce(folded, key)"
    };
}

pub(super) use {compared_key, entry_columns, upload_columns};

/// Returns a number as a column value, at most `i64::MAX`.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a number of rows as a `LIMIT`, at most `i64::MAX`.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Reads the number in a column.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// Reads an entry from a row of [`entry_columns`].
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: EntryId(number(row, 0)?),
        slot: slot(row)?,
        object: object(row, 5)?,
        size_bytes: number(row, 6)?,
        created_ms: number(row, 7)?,
        last_used_ms: number(row, 8)?,
        owner: row.get(9)?,
    })
}

/// Reads an upload from a row of [`upload_columns`].
pub(super) fn upload(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let name: String = row.get(5)?;
    let slot = slot(row)?;
    Ok(Upload {
        id: UploadId(number(row, 0)?),
        name: UploadName::parse(name).map_err(|e| invalid(5, Type::Text, e))?,
        owner: row.get(6)?,
        trust: Trust::of(trust(row, 11)?, &slot.scope),
        slot,
        created_ms: number(row, 7)?,
        last_activity_ms: number(row, 8)?,
        attachment: attachment(row)?,
    })
}

/// Reads an object's name.
pub(super) fn object(row: &Row<'_>, column: usize) -> rusqlite::Result<ObjectName> {
    let name: String = row.get(column)?;
    ObjectName::parse(name).map_err(|e| invalid(column, Type::Text, e))
}

/// Reads the slot, which is in the same columns of both kinds of rows.
fn slot(row: &Row<'_>) -> rusqlite::Result<Slot> {
    Ok(Slot { repository: text(row, 1)?, scope: text(row, 2)?, version: text(row, 3)?, key: text(row, 4)? })
}

fn attachment(row: &Row<'_>) -> rusqlite::Result<Option<Attachment>> {
    if row.get_ref(9)?.data_type() == Type::Null {
        return Ok(None);
    }
    Ok(Some(Attachment { object: object(row, 9)?, size_bytes: number(row, 10)? }))
}

/// Reads a stored trust, or `None` from a null.
pub(super) fn trust(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Trust>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Trust::from_number))
}

/// Reads a number, or `None` from a null.
pub(super) fn optional_number(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    match row.get_ref(column)?.data_type() {
        Type::Null => Ok(None),
        _ => number(row, column).map(Some),
    }
}

/// Reads the digest of the object in a column from another one.
pub(super) fn digest(row: &Row<'_>, object: usize, column: usize) -> rusqlite::Result<Option<Digest>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    Ok(digest_text::parse(&row.get::<_, String>(object)?, &text))
}

/// Reads text that is stored as a BLOB.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|e: FromSqlError| invalid(column, Type::Blob, e))?;
    match str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(invalid(column, Type::Blob, error)),
    }
}

pub(super) fn invalid(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
