//! Reads entries and uploads from rows, and converts numbers to columns.
//!
//! The servers' integers are signed. A number that does not fit is stored as the largest one. Ids
//! never grow that large, so such an id matches nothing.

use larder_common::TenantName;
use larder_storage::{Digest, ObjectName, UploadName};

use crate::{
    Attachment, Cause, Departed, Departure, Entry, EntryId, Near, Slot, Trust, Upload, UploadId, digest_text,
};

/// A row of either server.
pub(super) trait Columns {
    /// An integer.
    fn integer(&self, column: usize) -> sqlx::Result<Option<i64>>;
    /// Bytes.
    fn bytes(&self, column: usize) -> sqlx::Result<Option<Vec<u8>>>;
}

macro_rules! columns {
    ($row:ty) => {
        impl Columns for $row {
            fn integer(&self, column: usize) -> sqlx::Result<Option<i64>> {
                sqlx::Row::try_get(self, column)
            }

            fn bytes(&self, column: usize) -> sqlx::Result<Option<Vec<u8>>> {
                sqlx::Row::try_get(self, column)
            }
        }
    };
}
columns!(sqlx::postgres::PgRow);
columns!(sqlx::mysql::MySqlRow);

/// Returns a number as a column value, at most `i64::MAX`.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a number of rows as a `LIMIT`, at most `i64::MAX`.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Reads an entry from the first columns: id, repository, scope, version, key, object, size_bytes,
/// created_ms, used_ms, owner.
pub(super) fn entry(row: &impl Columns) -> sqlx::Result<Entry> {
    Ok(Entry {
        id: EntryId(number(row, 0)?),
        slot: slot(row)?,
        object: object(row, 5)?,
        size_bytes: number(row, 6)?,
        created_ms: number(row, 7)?,
        last_used_ms: number(row, 8)?,
        owner: row.bytes(9)?.map(utf8).transpose()?,
    })
}

/// Reads an upload from the first columns: id, repository, scope, version, key, name, owner,
/// created_ms, active_ms, object, size_bytes, trust.
pub(super) fn upload(row: &impl Columns) -> sqlx::Result<Upload> {
    let attachment = match row.bytes(9)? {
        None => None,
        Some(_) => Some(Attachment { object: object(row, 9)?, size_bytes: number(row, 10)? }),
    };
    let slot = slot(row)?;
    Ok(Upload {
        id: UploadId(number(row, 0)?),
        name: name(row, 5)?,
        owner: text(row, 6)?,
        trust: Trust::of(trust(row, 11)?, &slot.scope),
        slot,
        created_ms: number(row, 7)?,
        last_activity_ms: number(row, 8)?,
        attachment,
    })
}

/// Reads an entry as [`entry`] does, and whether it is in quarantine from quarantined_ms behind.
pub(super) fn near(row: &impl Columns) -> sqlx::Result<Near> {
    Ok(Near { entry: entry(row)?, quarantined: row.integer(10)?.is_some() })
}

/// Reads an entry that was deleted from the first columns: entry, repository, scope, version, key,
/// object, size_bytes, created_ms, used_ms, uses, trust, departed_ms, cause.
pub(super) fn departed(row: &impl Columns) -> sqlx::Result<Departed> {
    // It may have been cut within a character.
    let clipped = |column| Ok::<_, sqlx::Error>(String::from_utf8_lossy(&value(row, column)?).into_owned());
    Ok(Departed {
        entry: EntryId(number(row, 0)?),
        slot: Slot { repository: clipped(1)?, scope: clipped(2)?, version: clipped(3)?, key: clipped(4)? },
        object: optional_object(row, 5)?,
        size_bytes: number(row, 6)?,
        created_ms: number(row, 7)?,
        last_used_ms: number(row, 8)?,
        uses: optional_number(row, 9)?,
        trust: trust(row, 10)?,
        departure: Departure { at_ms: number(row, 11)?, cause: Cause::parse(&text(row, 12)?) },
    })
}

/// Reads a stored trust, or `None` from a null.
pub(super) fn trust(row: &impl Columns, column: usize) -> sqlx::Result<Option<Trust>> {
    Ok(row.integer(column)?.map(Trust::from_number))
}

/// Reads a number, or `None` from a null.
pub(super) fn optional_number(row: &impl Columns, column: usize) -> sqlx::Result<Option<u64>> {
    row.integer(column)?.map(|_| number(row, column)).transpose()
}

/// Reads the name of an object.
pub(super) fn object(row: &impl Columns, column: usize) -> sqlx::Result<ObjectName> {
    ObjectName::parse(text(row, column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads the name of an object, or `None` from a null.
pub(super) fn optional_object(row: &impl Columns, column: usize) -> sqlx::Result<Option<ObjectName>> {
    row.bytes(column)?.map(|_| object(row, column)).transpose()
}

/// Reads the digest of the object in a column from another one.
pub(super) fn digest(row: &impl Columns, object: usize, column: usize) -> sqlx::Result<Option<Digest>> {
    let Some(digest) = row.bytes(column)? else { return Ok(None) };
    Ok(digest_text::parse(&text(row, object)?, &utf8(digest)?))
}

/// Reads bytes.
pub(super) fn value(row: &impl Columns, column: usize) -> sqlx::Result<Vec<u8>> {
    row.bytes(column)?.ok_or_else(|| null(column))
}

/// Reads the name of an upload.
pub(super) fn name(row: &impl Columns, column: usize) -> sqlx::Result<UploadName> {
    UploadName::parse(text(row, column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads the name of a tenant.
pub(super) fn tenant(row: &impl Columns, column: usize) -> sqlx::Result<TenantName> {
    TenantName::parse(&text(row, column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads a number.
pub(super) fn number(row: &impl Columns, column: usize) -> sqlx::Result<u64> {
    let integer = row.integer(column)?.ok_or_else(|| null(column))?;
    u64::try_from(integer).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn slot(row: &impl Columns) -> sqlx::Result<Slot> {
    Ok(Slot { repository: text(row, 1)?, scope: text(row, 2)?, version: text(row, 3)?, key: text(row, 4)? })
}

/// Reads text.
pub(super) fn text(row: &impl Columns, column: usize) -> sqlx::Result<String> {
    utf8(value(row, column)?)
}

fn utf8(bytes: Vec<u8>) -> sqlx::Result<String> {
    String::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn null(column: usize) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {column} is null").into())
}
