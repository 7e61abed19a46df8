//! The statements that read the database, except the search in `find.rs`.

use std::{collections::HashSet, hash::Hash};

use larder_storage::{ObjectName, UploadName};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    find,
    rows::{self, compared_key, entry_columns, integer, upload_columns},
    tenant::TenantConnection,
};
use crate::{Entry, EntryId, KeyRule, Slot, Upload, UploadId};

pub(super) const VOLATILE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_volatile \
     WHERE tenant = ?1 AND boot IS NOT NULL AND (boot = ?2) = ?3 AND id > ?4 ORDER BY id LIMIT ?5"
);

pub(super) const UPLOAD_BY_SLOT: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM uploads INDEXED BY uploads_by_key \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND ",
    compared_key!(),
    " = ?5"
);

/// One statement for both tables, because a finalize moves the reference from one to the other.
pub(super) const REFERENCES: &str = "SELECT 1 FROM entries INDEXED BY entries_by_object WHERE tenant = ?1 AND object = ?2 \
     UNION ALL SELECT 1 FROM uploads INDEXED BY uploads_by_object WHERE tenant = ?1 AND object = ?2";

pub(super) const UPLOAD_BY_NAME: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ?1 AND name = ?2");

pub(super) const UPLOAD_BY_ID: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ?1 AND id = ?2");

pub(super) const ENTRY_BY_UPLOAD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_upload WHERE tenant = ?1 AND upload = ?2"
);

pub(super) const ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_tenant WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
);

pub(super) const UPLOADS: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM uploads INDEXED BY uploads_by_tenant WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
);

pub(super) const EXISTING_UPLOAD: &str = "SELECT 1 FROM uploads WHERE tenant = ?1 AND name = ?2";

/// Returns the upload with this name.
pub(super) fn upload_by_name(
    conn: TenantConnection<'_>,
    name: &UploadName,
) -> rusqlite::Result<Option<Upload>> {
    conn.prepare(UPLOAD_BY_NAME)?.query_one([conn.tenant(), name.as_str()], rows::upload).optional()
}

/// Returns the upload with this number.
pub(super) fn upload_by_id(conn: TenantConnection<'_>, id: UploadId) -> rusqlite::Result<Option<Upload>> {
    conn.prepare(UPLOAD_BY_ID)?.query_one(params![conn.tenant(), integer(id.0)], rows::upload).optional()
}

/// Returns the upload in this slot.
pub(super) fn upload_by_slot(
    conn: TenantConnection<'_>,
    rule: KeyRule,
    slot: &Slot,
) -> rusqlite::Result<Option<Upload>> {
    conn.prepare(UPLOAD_BY_SLOT)?
        .query_one(
            params![
                conn.tenant(),
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
pub(super) fn entry_by_upload(conn: TenantConnection<'_>, id: UploadId) -> rusqlite::Result<Option<Entry>> {
    conn.prepare(ENTRY_BY_UPLOAD)?.query_one(params![conn.tenant(), integer(id.0)], rows::entry).optional()
}

/// Returns the entry in this slot.
pub(super) fn entry_by_slot(
    conn: TenantConnection<'_>,
    rule: KeyRule,
    slot: &Slot,
) -> rusqlite::Result<Option<Entry>> {
    conn.prepare(find::BY_SLOT)?
        .query_one(
            params![
                conn.tenant(),
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
    conn: TenantConnection<'_>,
    boot: &str,
    this_boot: bool,
    after: EntryId,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    conn.prepare(VOLATILE)?
        .query_map(
            params![conn.tenant(), boot, this_boot, integer(after.0), rows::limit(limit)],
            rows::entry,
        )?
        .collect()
}

/// Returns entries by number.
pub(super) fn entries(
    conn: TenantConnection<'_>,
    after: EntryId,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    conn.prepare(ENTRIES)?
        .query_map(params![conn.tenant(), integer(after.0), rows::limit(limit)], rows::entry)?
        .collect()
}

/// Returns uploads by number.
pub(super) fn uploads(
    conn: TenantConnection<'_>,
    after: UploadId,
    limit: usize,
) -> rusqlite::Result<Vec<Upload>> {
    conn.prepare(UPLOADS)?
        .query_map(params![conn.tenant(), integer(after.0), rows::limit(limit)], rows::upload)?
        .collect()
}

/// Returns the given objects that an entry or an upload refers to.
pub(super) fn referenced_objects(
    conn: TenantConnection<'_>,
    objects: &[ObjectName],
) -> rusqlite::Result<HashSet<ObjectName>> {
    filter_existing(conn, REFERENCES, objects, ObjectName::as_str)
}

/// Returns the given uploads that exist.
pub(super) fn existing_uploads(
    conn: TenantConnection<'_>,
    names: &[UploadName],
) -> rusqlite::Result<HashSet<UploadName>> {
    filter_existing(conn, EXISTING_UPLOAD, names, UploadName::as_str)
}

fn filter_existing<N: Clone + Eq + Hash>(
    conn: TenantConnection<'_>,
    sql: &str,
    names: &[N],
    text: fn(&N) -> &str,
) -> rusqlite::Result<HashSet<N>> {
    let _snapshot = conn.snapshot()?;
    let mut statement = conn.prepare(sql)?;
    let mut found = HashSet::new();
    for name in names {
        if statement.exists([conn.tenant(), text(name)])? {
            found.insert(name.clone());
        }
    }
    Ok(found)
}

/// Returns a secret.
pub(super) fn secret(conn: TenantConnection<'_>, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare("SELECT value FROM secrets WHERE tenant = ?1 AND name = ?2")?
        .query_one([conn.tenant(), name], |row: &Row<'_>| row.get(0))
        .optional()
}
