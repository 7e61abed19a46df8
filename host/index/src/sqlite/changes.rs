//! The statements that change the database.
//!
//! They run on the writer's connection, in a transaction that the writer begins and commits. If a
//! change fails, the writer rolls it back as a whole, and may run it again.

use larder_storage::{Digest, ObjectName, UploadName};
use rusqlite::params;

use super::{
    ledger, queries,
    rows::{self, entry_columns, integer, upload_columns},
    tenant::TenantConnection,
};
use crate::{
    AttachOutcome, Attachment, Durability, Entry, EntryId, EntryUses, KeyRule, MAX_CLOCK_SKEW_MS,
    Reservation, Slot, Trust, Upload, UploadId, digest_text, latest,
};

pub(super) const TOUCH_UPLOAD: &str = "UPDATE uploads SET active_ms = ?3 WHERE tenant = ?1 AND name = ?2 AND (active_ms < ?3 OR active_ms > ?4)";

pub(super) const TOUCH_ENTRY: &str = "UPDATE entries SET uses = uses + ?4, used_ms = max(used_ms, ?3) \
     WHERE tenant = ?1 AND id = ?2 AND used_ms <> ?3";

/// As [`TOUCH_ENTRY`], but counts the row also if it does not change.
pub(super) const TOUCH_FOUND_ENTRY: &str = "UPDATE entries \
     SET uses = uses + (used_ms <> ?3), used_ms = max(used_ms, ?3) WHERE tenant = ?1 AND id = ?2";

pub(super) const MARK_DURABLE: &str =
    "UPDATE entries SET boot = NULL WHERE tenant = ?1 AND id = ?2 AND boot IS NOT NULL";

pub(super) const HAS_ROWS: &str = "SELECT 1 FROM entries INDEXED BY entries_by_tenant WHERE tenant = ?1 \
     UNION ALL SELECT 1 FROM uploads INDEXED BY uploads_by_tenant WHERE tenant = ?1";

/// An upload to make.
pub(super) struct NewUpload {
    pub(super) slot: Slot,
    pub(super) name: UploadName,
    pub(super) owner: String,
    /// As stored.
    pub(super) facts: String,
    pub(super) trust: Trust,
    pub(super) now_ms: u64,
}

/// See [`crate::Index::reserve`].
pub(super) fn reserve(
    conn: TenantConnection<'_>,
    rule: KeyRule,
    new: &NewUpload,
    idle_before_ms: u64,
) -> rusqlite::Result<Reservation> {
    if let Some(entry) = queries::entry_by_slot(conn, rule, &new.slot)? {
        return Ok(Reservation::Entry(entry));
    }
    if let Some(upload) = queries::upload_by_slot(conn, rule, &new.slot)? {
        if !upload.is_idle(new.now_ms, idle_before_ms) {
            return Ok(Reservation::Upload(upload));
        }
        abandon(conn, upload.id)?;
    }
    insert_upload(conn, rule, new).map(Reservation::Reserved)
}

fn insert_upload(
    conn: TenantConnection<'_>,
    rule: KeyRule,
    NewUpload { slot, name, owner, facts, trust, now_ms }: &NewUpload,
) -> rusqlite::Result<Upload> {
    conn.prepare(concat!(
        "INSERT INTO uploads \
         (tenant, repository, scope, version, key, name, owner, created_ms, active_ms, folded, facts, trust) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11) RETURNING ",
        upload_columns!()
    ))?
    .query_one(
        params![
            conn.tenant(),
            slot.repository.as_bytes(),
            slot.scope.as_bytes(),
            slot.version.as_bytes(),
            slot.key.as_bytes(),
            name.as_str(),
            owner,
            integer(*now_ms),
            rule.folded(&slot.key).map(String::into_bytes),
            facts,
            trust.number(),
        ],
        rows::upload,
    )
}

/// See [`crate::Index::renew`].
pub(super) fn renew(
    conn: TenantConnection<'_>,
    id: UploadId,
    created_ms: u64,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let renewed = conn
        .prepare(
            "UPDATE uploads SET created_ms = ?4, active_ms = ?4 \
             WHERE tenant = ?1 AND id = ?2 AND created_ms = ?3 AND active_ms = ?3 AND object IS NULL",
        )?
        .execute(params![conn.tenant(), integer(id.0), integer(created_ms), integer(now_ms)])?;
    Ok(renewed > 0)
}

/// See [`crate::Index::attach`].
pub(super) fn attach(
    conn: TenantConnection<'_>,
    id: UploadId,
    attachment: &Attachment,
    digest: Option<&Digest>,
    now_ms: u64,
) -> rusqlite::Result<AttachOutcome> {
    let Some(upload) = queries::upload_by_id(conn, id)? else {
        return Ok(AttachOutcome::Gone);
    };
    conn.prepare(
        "UPDATE uploads SET object = ?3, size_bytes = ?4, digest = ?7, \
         active_ms = iif(active_ms > ?6, ?5, max(active_ms, ?5)) WHERE tenant = ?1 AND id = ?2",
    )?
    .execute(params![
        conn.tenant(),
        integer(id.0),
        attachment.object.as_str(),
        integer(attachment.size_bytes),
        integer(now_ms),
        integer(now_ms.saturating_add(MAX_CLOCK_SKEW_MS)),
        digest.map(|digest| digest_text::column(&attachment.object, digest)),
    ])?;
    let replaced = upload.attachment.filter(|before| before.object != attachment.object);
    if let Some(Attachment { object, size_bytes }) = &replaced {
        ledger::replace(conn, &upload.name, (object, *size_bytes), &attachment.object)?;
    }
    Ok(AttachOutcome::Attached(replaced.map(|before| before.object)))
}

/// See [`crate::Index::finalize`].
pub(super) fn finalize(
    conn: TenantConnection<'_>,
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
    ledger::finalized(conn, id, &attachment.object, attachment.size_bytes)?;
    Ok(Some(entry))
}

fn insert_entry(
    conn: TenantConnection<'_>,
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
    conn.prepare(concat!(
        "INSERT INTO entries \
         (tenant, repository, scope, version, key, object, size_bytes, created_ms, used_ms, boot, upload, owner, folded, \
         uses, facts, trust, digest) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, \
         0, (SELECT facts FROM uploads WHERE tenant = ?1 AND id = ?10), \
         (SELECT trust FROM uploads WHERE tenant = ?1 AND id = ?10), \
         (SELECT digest FROM uploads WHERE tenant = ?1 AND id = ?10)) RETURNING ",
        entry_columns!()
    ))?
    .query_one(
        params![
            conn.tenant(),
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
pub(super) fn abandon(conn: TenantConnection<'_>, id: UploadId) -> rusqlite::Result<bool> {
    ledger::abandon(conn, id, None)
}

/// See [`crate::Index::abandon_idle`].
pub(super) fn abandon_idle(
    conn: TenantConnection<'_>,
    id: UploadId,
    idle_before_ms: u64,
) -> rusqlite::Result<bool> {
    ledger::abandon(conn, id, Some(idle_before_ms))
}

/// See [`crate::Index::touch_entries`].
pub(super) fn touch_entries(conn: TenantConnection<'_>, uses: &[EntryUses]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(TOUCH_ENTRY)?;
    for EntryUses { id, last_used_ms, count } in uses {
        statement.execute(params![conn.tenant(), integer(id.0), integer(*last_used_ms), count])?;
    }
    Ok(())
}

/// See [`crate::Index::touch_entry`].
pub(super) fn touch_entry(conn: TenantConnection<'_>, id: EntryId, used_ms: u64) -> rusqlite::Result<bool> {
    let mut statement = conn.prepare(TOUCH_FOUND_ENTRY)?;
    Ok(statement.execute(params![conn.tenant(), integer(id.0), integer(used_ms)])? > 0)
}

/// See [`crate::Index::cap_last_used`].
pub(super) fn cap_last_used(
    conn: TenantConnection<'_>,
    ids: &[EntryId],
    now_ms: u64,
) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare("UPDATE entries SET used_ms = ?3 WHERE tenant = ?1 AND id = ?2 AND used_ms > ?3")?;
    for id in ids {
        statement.execute(params![conn.tenant(), integer(id.0), integer(now_ms)])?;
    }
    Ok(())
}

/// See [`crate::Index::touch_uploads`].
pub(super) fn touch_uploads(conn: TenantConnection<'_>, uses: &[(UploadName, u64)]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(TOUCH_UPLOAD)?;
    for (name, last_activity_ms) in latest(uses) {
        let ahead_ms = last_activity_ms.saturating_add(MAX_CLOCK_SKEW_MS);
        statement.execute(params![
            conn.tenant(),
            name.as_str(),
            integer(last_activity_ms),
            integer(ahead_ms)
        ])?;
    }
    Ok(())
}

/// See [`crate::Index::mark_durable`].
pub(super) fn mark_durable(conn: TenantConnection<'_>, ids: &[EntryId]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(MARK_DURABLE)?;
    for id in ids {
        statement.execute(params![conn.tenant(), integer(id.0)])?;
    }
    Ok(())
}

/// See [`crate::Catalogue::record_digest`].
pub(super) fn record_digest(
    conn: TenantConnection<'_>,
    id: EntryId,
    object: &ObjectName,
    digest: &Digest,
) -> rusqlite::Result<bool> {
    let text = digest_text::column(object, digest);
    let mut statement =
        conn.prepare("UPDATE entries SET digest = ?4 WHERE tenant = ?1 AND id = ?2 AND object = ?3")?;
    Ok(statement.execute(params![conn.tenant(), integer(id.0), object.as_str(), text])? > 0)
}

/// See [`crate::Index::secret`].
pub(super) fn secret(conn: TenantConnection<'_>, name: &str, fresh: &[u8]) -> rusqlite::Result<Vec<u8>> {
    if let Some(stored) = queries::secret(conn, name)? {
        return Ok(stored);
    }
    conn.prepare("INSERT INTO secrets (tenant, name, value) VALUES (?1, ?2, ?3)")?.execute(params![
        conn.tenant(),
        name,
        fresh
    ])?;
    Ok(fresh.to_vec())
}

/// See [`crate::Index::forget_tenant`].
pub(super) fn forget(conn: TenantConnection<'_>) -> rusqlite::Result<bool> {
    if conn.prepare(HAS_ROWS)?.exists([conn.tenant()])? {
        return Ok(false);
    }
    conn.prepare("DELETE FROM secrets WHERE tenant = ?1")?.execute([conn.tenant()])?;
    conn.prepare("DELETE FROM repositories WHERE tenant = ?1")?.execute([conn.tenant()])?;
    ledger::forget(conn)?;
    conn.prepare("DELETE FROM refusals WHERE tenant = ?1")?.execute([conn.tenant()])?;
    conn.prepare("DELETE FROM departed WHERE tenant = ?1")?.execute([conn.tenant()])?;
    conn.prepare("DELETE FROM history WHERE tenant = ?1")?.execute([conn.tenant()])?;
    conn.prepare("DELETE FROM history_writers WHERE tenant = ?1")?.execute([conn.tenant()])?;
    Ok(true)
}
