//! The statements that read the database, except the search in `find.rs`.

use std::{collections::HashSet, hash::Hash};

use larder_storage::{ObjectName, UploadName};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{
    find,
    reader::ReadTransaction,
    rows::{self, compared_key, entry_columns, integer, upload_columns},
};
use crate::{Entry, EntryId, KeyRule, Slot, Upload, UploadId};

pub(super) const VOLATILE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_volatile \
     WHERE boot IS NOT NULL AND (boot = :boot) = :this_boot AND id > :after ORDER BY id LIMIT :limit"
);

pub(super) const UPLOAD_BY_SLOT: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM uploads INDEXED BY uploads_by_key WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND ",
    compared_key!(),
    " = ?4"
);

/// One statement for both tables, because a finalize moves the reference from one to the other.
pub(super) const REFERENCES: &str = "SELECT 1 FROM entries WHERE object = ?1 \
     UNION ALL SELECT 1 FROM uploads WHERE object = ?1";

/// Returns the upload with this name.
pub(super) fn upload_by_name(conn: &Connection, name: &UploadName) -> rusqlite::Result<Option<Upload>> {
    conn.prepare_cached(concat!("SELECT ", upload_columns!(), " FROM uploads WHERE name = ?1"))?
        .query_one([name.as_str()], rows::upload)
        .optional()
}

/// Returns the upload with this number.
pub(super) fn upload_by_id(conn: &Connection, id: UploadId) -> rusqlite::Result<Option<Upload>> {
    conn.prepare_cached(concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id = ?1"))?
        .query_one([integer(id.0)], rows::upload)
        .optional()
}

/// Returns the upload in this slot.
pub(super) fn upload_by_slot(
    conn: &Connection,
    rule: KeyRule,
    slot: &Slot,
) -> rusqlite::Result<Option<Upload>> {
    conn.prepare_cached(UPLOAD_BY_SLOT)?
        .query_one(
            params![
                slot.repository.as_bytes(),
                slot.scope.as_bytes(),
                slot.version.as_bytes(),
                rule.compared(&slot.key).as_bytes()
            ],
            rows::upload,
        )
        .optional()
}

/// Returns the entry that was made from this upload.
pub(super) fn entry_by_upload(conn: &Connection, id: UploadId) -> rusqlite::Result<Option<Entry>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM entries INDEXED BY entries_by_upload WHERE upload = ?1"
    ))?
    .query_one([integer(id.0)], rows::entry)
    .optional()
}

/// Returns the entry in this slot.
pub(super) fn entry_by_slot(
    conn: &Connection,
    rule: KeyRule,
    slot: &Slot,
) -> rusqlite::Result<Option<Entry>> {
    conn.prepare_cached(find::BY_SLOT)?
        .query_one(
            params![
                slot.repository.as_bytes(),
                slot.scope.as_bytes(),
                slot.version.as_bytes(),
                rule.compared(&slot.key).as_bytes()
            ],
            rows::entry,
        )
        .optional()
}

/// Returns entries that are not known to be durable, made in this boot or in any other.
pub(super) fn volatile_entries(
    conn: &Connection,
    boot: &str,
    this_boot: bool,
    after: EntryId,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    conn.prepare_cached(VOLATILE)?
        .query_map(
            named_params! {
                ":boot": boot,
                ":this_boot": this_boot,
                ":after": integer(after.0),
                ":limit": rows::limit(limit),
            },
            rows::entry,
        )?
        .collect()
}

/// Returns entries by number.
pub(super) fn entries(conn: &Connection, after: EntryId, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))?
    .query_map([integer(after.0), rows::limit(limit)], rows::entry)?
    .collect()
}

/// Returns uploads by number.
pub(super) fn uploads(conn: &Connection, after: UploadId, limit: usize) -> rusqlite::Result<Vec<Upload>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        upload_columns!(),
        " FROM uploads WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))?
    .query_map([integer(after.0), rows::limit(limit)], rows::upload)?
    .collect()
}

/// Returns the given objects that an entry or an upload refers to.
pub(super) fn referenced_objects(
    conn: &Connection,
    objects: &[ObjectName],
) -> rusqlite::Result<HashSet<ObjectName>> {
    filter_existing(conn, REFERENCES, objects, ObjectName::as_str)
}

/// Returns the given uploads that exist.
pub(super) fn existing_uploads(
    conn: &Connection,
    names: &[UploadName],
) -> rusqlite::Result<HashSet<UploadName>> {
    let sql = "SELECT 1 FROM uploads WHERE name = ?1";
    filter_existing(conn, sql, names, UploadName::as_str)
}

fn filter_existing<N: Clone + Eq + Hash>(
    conn: &Connection,
    sql: &str,
    names: &[N],
    text: fn(&N) -> &str,
) -> rusqlite::Result<HashSet<N>> {
    let _snapshot = ReadTransaction::begin(conn)?;
    let mut statement = conn.prepare_cached(sql)?;
    let mut found = HashSet::new();
    for name in names {
        if statement.exists([text(name)])? {
            found.insert(name.clone());
        }
    }
    Ok(found)
}

/// Returns a secret.
pub(super) fn secret(conn: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT value FROM secrets WHERE name = ?1")?
        .query_one([name], |row: &Row<'_>| row.get(0))
        .optional()
}
