//! Refusals for want of room that BuildKit is not told.
//!
//! BuildKit's export fails with the first error, and the build with it. But it goes on if a layer is
//! said to exist. So a layer that does not fit is accepted in words only. The index that the export
//! saves in the end names all layers, and a build that imports an index fails if a layer is missing.
//! So no index of the same token becomes an entry: its saves succeed in words, too. The marks are in
//! the database, because the calls of one export may arrive at different servers.
//!
//! **Others' exports.** An export is told that a layer exists while another one still sends it: it
//! *relies* on that upload. If that is then refused, an index that names the layer must not stay, in
//! whatever order that happens. Whoever is refused marks the repository first and then deletes the
//! indexes of those who relied on the upload; whoever saves an index, and has relied on any upload,
//! looks for the mark after the index has become an entry. So one of them sees the other. The mark
//! is the repository's, because nobody can list on what an export relied: an index may be given up
//! that was complete, but only of an export that ran beside another one, in a repository in which a
//! layer was refused within a day. An upload whose client went away is treated in the same way, when
//! the sweep abandons it.

use super::{Caller, Error, Grant};
use crate::ports::{Cause, Entry, Host, IndexError, Level, MatchKind, OutcomeKind, Request, Slot, Upload};
use crate::room::EXPORT_MS;
use crate::writer::Writer;
use crate::{buildkit, cleanup};

/// The number of an upload that is none. Its number in version 1 is the largest.
const NO_UPLOAD: u64 = (1 << 33) - 1;
/// The number of an entry that is none: exact as a double.
pub(crate) const NO_ENTRY: u64 = (1 << 53) - 1;

/// Most indexes of a repository: the limit of `index.list-near`.
const MAX_INDEXES: u32 = 10_000;
/// Longest name of a repository in a mark.
const MAX_REPOSITORY_BYTES: usize = 200;

/// Why an outcome is only in words.
const IN_WORDS: &str = "no room: accepted in words, so that BuildKit's export does not fail";

/// Returns whether the request is an upload by BuildKit, whose library uses Azure's SDK for Go.
pub(crate) fn is_export_upload<I>(request: &Request<I>) -> bool {
    request.header("user-agent").is_some_and(|agent| agent.contains("azsdk-go-"))
}

/// Records that there was no room for a part of what this token saves with this upload. Returns
/// whether the client may be told otherwise.
pub(crate) async fn note<H: Host>(host: &H, owner: &str, upload: Option<&str>, now_ms: u64) -> bool {
    let marks = upload.map(upload_mark).into_iter().chain([owner_mark(owner)]).collect();
    host.note_refused(marks, now_ms).await.is_ok()
}

/// Records that there was no room for a part of an upload, and deletes the indexes that may name it.
/// Returns whether the client may be told otherwise.
pub(crate) async fn note_upload<H: Host>(host: &H, upload: &Upload, now_ms: u64) -> bool {
    let mut marks = vec![upload_mark(&upload.name), owner_mark(&upload.owner)];
    let is_layer = buildkit::is_layer(&upload.slot);
    if is_layer {
        marks.push(repository_mark(&upload.slot.repository));
    }
    let is_noted = host.note_refused(marks, now_ms).await.is_ok();
    if is_layer && drop_indexes(host, upload, now_ms).await.is_err() {
        host.log(Level::Error, "an index of BuildKit may name a layer that was refused", &[]);
    }
    is_noted
}

/// Deletes the indexes that may name the layer of an upload whose client went away.
pub(crate) async fn note_dead<H: Host>(host: &H, upload: &Upload, now_ms: u64) {
    if !buildkit::is_layer(&upload.slot) {
        return;
    }
    let marks = vec![repository_mark(&upload.slot.repository)];
    // The host has logged why.
    let _ = host.note_refused(marks, now_ms).await;
    if drop_indexes(host, upload, now_ms).await.is_err() {
        host.log(Level::Error, "an index of BuildKit may name a layer that never came", &[]);
    }
}

/// Records that the caller is told that a layer exists, because this upload of it is under way. Where
/// marks cannot be kept a refusal is not hidden from its client either.
pub(super) async fn note_reliance<H: Host>(caller: &Caller<'_, H>, upload: &Upload) {
    if caller.is_export() && buildkit::is_layer(&upload.slot) {
        let owner = &caller.claims.owner;
        let marks = vec![relies_mark(owner), relies_on_mark(owner, &upload.name)];
        // The host has logged why.
        let _ = caller.host.note_refused(marks, caller.request.received_ms).await;
    }
}

/// Deletes the indexes of exports that relied on an upload.
async fn drop_indexes<H: Host>(host: &H, upload: &Upload, now_ms: u64) -> Result<(), IndexError> {
    let (repository, index) = (upload.slot.repository.clone(), buildkit::INDEX.to_owned());
    let near = host.list_near(repository, index, MatchKind::Prefix, MAX_INDEXES).await?;
    // Servers' clocks differ.
    let since_ms = upload.created_ms.saturating_sub(EXPORT_MS);
    for entry in near.entries.into_iter().map(|near| near.entry) {
        let Some(owner) = entry.owner.as_ref().filter(|_| entry.created_ms >= since_ms) else { continue };
        if host.was_refused(vec![relies_on_mark(owner, &upload.name)]).await? {
            delete(host, entry, now_ms).await?;
        }
    }
    Ok(())
}

async fn delete<H: Host>(host: &H, index: Entry, now_ms: u64) -> Result<(), IndexError> {
    if host.delete_entry(index.id, Cause::Stale, now_ms).await? {
        let fields = [("key", &*index.slot.key), ("scope", &*index.slot.scope)];
        host.log(Level::Warn, "index of BuildKit deleted: a layer of it never came", &fields);
        cleanup::remove(host, index.object).await;
    }
    Ok(())
}

/// Returns whether an entry in this slot may be an index of which a layer was refused to another
/// export.
///
/// # Errors
/// Those of the index.
pub(crate) async fn is_incomplete<H: Host>(caller: &Caller<'_, H>, slot: &Slot) -> Result<bool, IndexError> {
    if !caller.is_export() || buildkit::is_layer(slot) {
        return Ok(false);
    }
    Ok(caller.host.was_refused(vec![relies_mark(&caller.claims.owner)]).await?
        && caller.host.was_refused(vec![repository_mark(&slot.repository)]).await?)
}

/// Returns an entry that was just made; `None` if it must not stay ([`is_incomplete`]).
///
/// # Errors
/// Those of the index.
pub(crate) async fn keep<H: Host>(caller: &Caller<'_, H>, entry: Entry) -> Result<Option<Entry>, IndexError> {
    if !is_incomplete(caller, &entry.slot).await? {
        return Ok(Some(entry));
    }
    delete(caller.host, entry, caller.request.received_ms).await?;
    record(caller.request);
    Ok(None)
}

/// Returns whether there was no room for something that this caller, BuildKit, has saved.
///
/// # Errors
/// Those of the index.
pub(crate) async fn was_noted<H: Host>(caller: &Caller<'_, H>) -> Result<bool, IndexError> {
    if !caller.is_export() {
        return Ok(false);
    }
    caller.host.was_refused(vec![owner_mark(&caller.claims.owner)]).await
}

/// Returns whether there was no room for this upload.
///
/// # Errors
/// Those of the index.
pub(crate) async fn is_of_upload<H: Host>(host: &H, upload: &str) -> Result<bool, IndexError> {
    host.was_refused(vec![upload_mark(upload)]).await
}

/// Records the outcome of a request that succeeds in words only.
pub(crate) fn record<I>(request: &Request<I>) {
    request.record(|outcome| {
        outcome.kind = Some(OutcomeKind::Refused);
        outcome.reason = Some(IN_WORDS.to_owned());
    });
}

/// Reserves a slot in words: a layer exists already, and for an index there is an upload that takes
/// everything and becomes nothing.
///
/// # Errors
/// `already_exists` for a layer; those of the index.
pub(super) async fn reserve<H: Host>(caller: &Caller<'_, H>, slot: Slot) -> Result<Grant, Error> {
    if buildkit::is_layer(&slot) {
        return Err(super::reserve::already_exists().with_reason(IN_WORDS));
    }
    let now_ms = caller.request.received_ms;
    // As random as a name of an upload, and like one.
    let name = caller.request.id.replace('-', "");
    caller.host.note_refused(vec![upload_mark(&name)], now_ms).await?;
    let upload = Upload {
        id: NO_UPLOAD,
        name,
        slot,
        owner: caller.claims.owner.clone(),
        created_ms: now_ms,
        last_activity_ms: now_ms,
        attachment: None,
    };
    record(caller.request);
    Ok(Grant { writer: Writer::of_reservation(&upload), upload })
}

fn owner_mark(owner: &str) -> String {
    format!("o:{owner}")
}

fn upload_mark(name: &str) -> String {
    format!("u:{name}")
}

/// A layer was refused in this repository. Marks have at most 255 bytes; of a longer name the
/// beginning stands for others, too.
fn repository_mark(repository: &str) -> String {
    let end = repository.floor_char_boundary(MAX_REPOSITORY_BYTES);
    format!("r:{}", &repository[..end])
}

/// This token has relied on an upload.
fn relies_mark(owner: &str) -> String {
    format!("p:{owner}")
}

/// This token has relied on this upload.
fn relies_on_mark(owner: &str, upload: &str) -> String {
    format!("p:{owner}:{upload}")
}

#[cfg(test)]
mod tests;
