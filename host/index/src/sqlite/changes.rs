//! The statements that change the database.
//!
//! They run on the writer's connection, in a transaction that the writer begins and commits. If a
//! change fails, the writer rolls it back as a whole, and may run it again.

use larder_storage::UploadName;
use rusqlite::{Connection, params};

use super::{
    queries,
    rows::{self, entry_columns, integer, upload_columns},
};
use crate::{
    AttachOutcome, Attachment, Durability, Entry, EntryId, KeyRule, MAX_CLOCK_SKEW_MS, Reservation, Slot,
    Upload, UploadId, latest,
};

pub(super) const TOUCH_UPLOAD: &str =
    "UPDATE uploads SET active_ms = ?2 WHERE name = ?1 AND (active_ms < ?2 OR active_ms > ?3)";

/// See [`crate::Index::reserve`].
pub(super) fn reserve(
    conn: &Connection,
    rule: KeyRule,
    slot: &Slot,
    owner: &str,
    fresh: &UploadName,
    now_ms: u64,
    idle_before_ms: u64,
) -> rusqlite::Result<Reservation> {
    if let Some(entry) = queries::entry_by_slot(conn, rule, slot)? {
        return Ok(Reservation::Entry(entry));
    }
    if let Some(upload) = queries::upload_by_slot(conn, rule, slot)? {
        if !upload.is_idle(now_ms, idle_before_ms) {
            return Ok(Reservation::Upload(upload));
        }
        abandon(conn, upload.id)?;
    }
    insert_upload(conn, rule, slot, owner, fresh, now_ms).map(Reservation::Reserved)
}

fn insert_upload(
    conn: &Connection,
    rule: KeyRule,
    slot: &Slot,
    owner: &str,
    name: &UploadName,
    now_ms: u64,
) -> rusqlite::Result<Upload> {
    conn.prepare_cached(concat!(
        "INSERT INTO uploads (repository, scope, version, key, name, owner, created_ms, active_ms, folded) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8) RETURNING ",
        upload_columns!()
    ))?
    .query_one(
        params![
            slot.repository.as_bytes(),
            slot.scope.as_bytes(),
            slot.version.as_bytes(),
            slot.key.as_bytes(),
            name.as_str(),
            owner,
            integer(now_ms),
            rule.folded(&slot.key).map(String::into_bytes),
        ],
        rows::upload,
    )
}

/// See [`crate::Index::renew`].
pub(super) fn renew(conn: &Connection, id: UploadId, created_ms: u64, now_ms: u64) -> rusqlite::Result<bool> {
    let renewed = conn
        .prepare_cached(
            "UPDATE uploads SET created_ms = ?3, active_ms = ?3 \
             WHERE id = ?1 AND created_ms = ?2 AND active_ms = ?2 AND object IS NULL",
        )?
        .execute([integer(id.0), integer(created_ms), integer(now_ms)])?;
    Ok(renewed > 0)
}

/// See [`crate::Index::attach`].
pub(super) fn attach(
    conn: &Connection,
    id: UploadId,
    attachment: &Attachment,
    now_ms: u64,
) -> rusqlite::Result<AttachOutcome> {
    let Some(upload) = queries::upload_by_id(conn, id)? else {
        return Ok(AttachOutcome::Gone);
    };
    conn.prepare_cached(
        "UPDATE uploads SET object = ?2, size_bytes = ?3, \
         active_ms = iif(active_ms > ?5, ?4, max(active_ms, ?4)) WHERE id = ?1",
    )?
    .execute(params![
        integer(id.0),
        attachment.object.as_str(),
        integer(attachment.size_bytes),
        integer(now_ms),
        integer(now_ms.saturating_add(MAX_CLOCK_SKEW_MS)),
    ])?;
    let replaced = upload.attachment.map(|before| before.object);
    Ok(AttachOutcome::Attached(replaced.filter(|object| *object != attachment.object)))
}

/// See [`crate::Index::finalize`].
pub(super) fn finalize(
    conn: &Connection,
    rule: KeyRule,
    id: UploadId,
    attachment: &Attachment,
    durability: &Durability,
    now_ms: u64,
) -> rusqlite::Result<Option<Entry>> {
    let Some(upload) = queries::upload_by_id(conn, id)? else {
        return Ok(None);
    };
    if upload.attachment.as_ref() != Some(attachment)
        || queries::entry_by_slot(conn, rule, &upload.slot)?.is_some()
    {
        return Ok(None);
    }
    let entry = insert_entry(conn, rule, &upload, attachment, durability, now_ms)?;
    abandon(conn, id)?;
    Ok(Some(entry))
}

fn insert_entry(
    conn: &Connection,
    rule: KeyRule,
    Upload { id, slot, owner, .. }: &Upload,
    attachment: &Attachment,
    durability: &Durability,
    now_ms: u64,
) -> rusqlite::Result<Entry> {
    let boot = match durability {
        Durability::Durable => None,
        Durability::Until { boot } => Some(boot),
    };
    conn.prepare_cached(concat!(
        "INSERT INTO entries \
         (repository, scope, version, key, object, size_bytes, created_ms, used_ms, boot, upload, owner, folded) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11) RETURNING ",
        entry_columns!()
    ))?
    .query_one(
        params![
            slot.repository.as_bytes(),
            slot.scope.as_bytes(),
            slot.version.as_bytes(),
            slot.key.as_bytes(),
            attachment.object.as_str(),
            integer(attachment.size_bytes),
            integer(now_ms),
            boot,
            integer(id.0),
            owner,
            rule.folded(&slot.key).map(String::into_bytes),
        ],
        rows::entry,
    )
}

/// See [`crate::Index::abandon`].
pub(super) fn abandon(conn: &Connection, id: UploadId) -> rusqlite::Result<bool> {
    let deleted = conn.prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute([integer(id.0)])?;
    Ok(deleted > 0)
}

/// See [`crate::Index::abandon_idle`].
pub(super) fn abandon_idle(conn: &Connection, id: UploadId, idle_before_ms: u64) -> rusqlite::Result<bool> {
    let deleted = conn
        .prepare_cached("DELETE FROM uploads WHERE id = ?1 AND active_ms < ?2")?
        .execute([integer(id.0), integer(idle_before_ms)])?;
    Ok(deleted > 0)
}

/// See [`crate::Index::delete_entry`].
pub(super) fn delete_entry(conn: &Connection, id: EntryId) -> rusqlite::Result<bool> {
    let deleted = conn.prepare_cached("DELETE FROM entries WHERE id = ?1")?.execute([integer(id.0)])?;
    Ok(deleted > 0)
}

/// See [`crate::Index::delete_entry_unused`].
pub(super) fn delete_entry_unused(
    conn: &Connection,
    id: EntryId,
    last_used_ms: u64,
) -> rusqlite::Result<bool> {
    let deleted = conn
        .prepare_cached("DELETE FROM entries WHERE id = ?1 AND used_ms <= ?2")?
        .execute([integer(id.0), integer(last_used_ms)])?;
    Ok(deleted > 0)
}

/// See [`crate::Index::touch_entries`].
pub(super) fn touch_entries(conn: &Connection, uses: &[(EntryId, u64)]) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare_cached("UPDATE entries SET used_ms = ?2 WHERE id = ?1 AND used_ms < ?2")?;
    for (id, last_used_ms) in uses {
        statement.execute([integer(id.0), integer(*last_used_ms)])?;
    }
    Ok(())
}

/// See [`crate::Index::cap_last_used`].
pub(super) fn cap_last_used(conn: &Connection, ids: &[EntryId], now_ms: u64) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare_cached("UPDATE entries SET used_ms = ?2 WHERE id = ?1 AND used_ms > ?2")?;
    for id in ids {
        statement.execute([integer(id.0), integer(now_ms)])?;
    }
    Ok(())
}

/// See [`crate::Index::touch_uploads`].
pub(super) fn touch_uploads(conn: &Connection, uses: &[(UploadName, u64)]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(TOUCH_UPLOAD)?;
    for (name, last_activity_ms) in latest(uses) {
        let ahead_ms = last_activity_ms.saturating_add(MAX_CLOCK_SKEW_MS);
        statement.execute(params![name.as_str(), integer(last_activity_ms), integer(ahead_ms)])?;
    }
    Ok(())
}

/// See [`crate::Index::mark_durable`].
pub(super) fn mark_durable(conn: &Connection, ids: &[EntryId]) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare_cached("UPDATE entries SET boot = NULL WHERE id = ?1 AND boot IS NOT NULL")?;
    for id in ids {
        statement.execute([integer(id.0)])?;
    }
    Ok(())
}

/// See [`crate::Index::secret`].
pub(super) fn secret(conn: &Connection, name: &str, fresh: &[u8]) -> rusqlite::Result<Vec<u8>> {
    if let Some(stored) = queries::secret(conn, name)? {
        return Ok(stored);
    }
    conn.prepare_cached("INSERT INTO secrets (name, value) VALUES (?1, ?2)")?
        .execute(params![name, fresh])?;
    Ok(fresh.to_vec())
}
