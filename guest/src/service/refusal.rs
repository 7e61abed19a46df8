//! Refusals for want of room that BuildKit is not told.
//!
//! BuildKit's export fails with the first error, and the build with it. But it goes on if a layer is
//! said to exist. So a layer that does not fit is accepted in words only. The index that the export
//! saves in the end names all layers, and a build that imports an index fails if a layer is missing.
//! So no index of the same token becomes an entry: its saves succeed in words, too. The marks are in
//! the database, because the calls of one export may arrive at different servers.

use super::{Caller, Error, Grant};
use crate::buildkit;
use crate::ports::{Host, IndexError, OutcomeKind, Request, Slot, Upload};
use crate::writer::Writer;

/// The number of an upload that is none. Its number in version 1 is the largest.
const NO_UPLOAD: u64 = (1 << 33) - 1;
/// The number of an entry that is none: exact as a double.
pub(crate) const NO_ENTRY: u64 = (1 << 53) - 1;

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

#[cfg(test)]
mod tests;
