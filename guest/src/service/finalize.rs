//! Finalizing: turns an upload into an entry.
//!
//! Fast, because the content is committed by then. A repeated call returns the same entry.

use super::save_rules::{self, Refusal};
use super::{Caller, ChunkKind, Code, Error, chunks, refusal};
use crate::ports::{Attachment, Entry, Host, MatchKind, OutcomeKind, Probe, Slot, Upload};
use crate::writer::Writer;
use crate::{buildkit, cleanup};

/// Most attempts, if the upload changes during each of them.
const MAX_ATTEMPTS: usize = 3;

/// Finalizes the upload in the slot, or returns the existing entry. An append blob need not be
/// sealed. Returns `None` if that succeeds in words only (`refusal`).
///
/// # Errors
/// `permission_denied` if the operator's rules refuse it, and the client is told.
/// `invalid_argument` if nothing was uploaded; also if `size_bytes` does not match, which abandons
/// the upload. `not_found` if there is neither an upload nor an entry, `already_exists` if it is
/// somebody else's, `unavailable` if the upload keeps changing.
pub(crate) async fn finalize<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    size_bytes: u64,
) -> Result<Option<Entry>, Error> {
    if !(refusal::was_noted(caller).await? || refusal::is_incomplete(caller, &slot).await?) {
        return match finalize_slot(caller, slot, size_bytes).await? {
            Some(entry) => Ok(refusal::keep(caller, entry).await?),
            None => Ok(None),
        };
    }
    let is_layer = buildkit::is_layer(&slot);
    let finalized = match caller.host.find_upload(slot.clone()).await? {
        Some(upload) if !is_layer => return drop_in_words(caller, upload).await.map(|()| None),
        _ => finalize_slot(caller, slot, size_bytes).await,
    };
    match finalized {
        // Its upload is gone; meanwhile another job may be saving the layer, or have saved it.
        Err(error) if matches!(error.code(), Code::NotFound | Code::AlreadyExists) => {
            refusal::record(caller.request);
            Ok(None)
        }
        finalized => finalized,
    }
}

/// Abandons the upload of an index that must not become an entry.
pub(crate) async fn drop_in_words<H: Host>(caller: &Caller<'_, H>, upload: Upload) -> Result<(), Error> {
    let name = upload.name.clone();
    let gone = Error::new(Code::NotFound, "no upload is under way for this key");
    let error = abandon(caller, upload, gone).await;
    if error.code() != Code::NotFound {
        return Err(error);
    }
    refusal::note(caller.host, &caller.claims.owner, Some(&name), caller.request.received_ms).await;
    refusal::record(caller.request);
    Ok(())
}

/// Returns `None` if that succeeds in words only.
async fn finalize_slot<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    size_bytes: u64,
) -> Result<Option<Entry>, Error> {
    for _ in 0..MAX_ATTEMPTS {
        let Some(upload) = caller.host.find_upload(slot.clone()).await? else {
            return existing_entry(caller, slot, size_bytes).await.map(Some);
        };
        if upload.owner != caller.claims.owner {
            return Err(Error::new(Code::AlreadyExists, "another job is saving this key"));
        }
        let Some(upload) = with_content(caller, upload).await? else { continue };
        match finalize_attached(caller, upload, size_bytes).await? {
            Finalized::Entry(entry) => return Ok(Some(entry)),
            Finalized::InWords => return Ok(None),
            Finalized::Changed => {}
        }
    }
    Err(upload_changed())
}

/// Turns the ranged chunks of this writer into an entry of `size_bytes`. The caller may write the
/// upload. Returns `None` if that succeeds in words only (`refusal`).
///
/// # Errors
/// `permission_denied` if the operator's rules refuse it, and the client is told.
/// `invalid_argument` if the chunks are not exactly `size_bytes` without gaps or overlaps, which
/// abandons the upload. Those of [`finalized_entry`] if the upload is gone; `unavailable` if its
/// content was replaced.
pub(crate) async fn finalize_chunks<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    writer: Writer,
    size_bytes: u64,
) -> Result<Option<Entry>, Error> {
    let id = upload.id;
    match chunks::layout(caller.host, &upload, writer, ChunkKind::Ranged).await? {
        Ok(layout) if layout.size_bytes == size_bytes => {
            if let Some(attachment) = chunks::commit(caller, &upload, layout).await? {
                let upload = Upload { attachment: Some(attachment), ..upload };
                match finalize_attached(caller, upload, size_bytes).await? {
                    Finalized::Entry(entry) => return Ok(Some(entry)),
                    Finalized::InWords => return Ok(None),
                    Finalized::Changed => {}
                }
            }
            match caller.host.get_upload_by_id(id).await? {
                Some(_) => Err(upload_changed()),
                None => finalized_entry(caller, id, size_bytes).await.map(Some),
            }
        }
        Ok(layout) => Err(abandon(caller, upload, size_mismatch(size_bytes, layout.size_bytes)).await),
        Err(reason) => Err(abandon(caller, upload, Error::new(Code::InvalidArgument, reason)).await),
    }
}

/// Returns the upload with an attachment: commits its appended chunks, if it has none. Returns
/// `None` if the upload is gone.
async fn with_content<H: Host>(caller: &Caller<'_, H>, upload: Upload) -> Result<Option<Upload>, Error> {
    if upload.attachment.is_some() {
        return Ok(Some(upload));
    }
    match chunks::layout_appended(caller.host, &upload).await? {
        Ok(layout) if layout.is_empty() => {
            Err(Error::new(Code::InvalidArgument, "nothing was uploaded for this key"))
        }
        Ok(layout) => {
            let attachment = chunks::commit(caller, &upload, layout).await?;
            Ok(attachment.map(|attachment| Upload { attachment: Some(attachment), ..upload }))
        }
        Err(reason) => Err(abandon(caller, upload, Error::new(Code::InvalidArgument, reason)).await),
    }
}

/// What became of an upload.
enum Finalized {
    Entry(Entry),
    /// It was refused, and the client is told otherwise.
    InWords,
    /// It has changed, or is gone.
    Changed,
}

/// Finalizes an upload, if the operator's rules let it.
async fn finalize_attached<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    size_bytes: u64,
) -> Result<Finalized, Error> {
    let Some(attachment) = upload.attachment.clone() else {
        return Err(Error::new(Code::InvalidArgument, "nothing was uploaded for this key"));
    };
    if attachment.size_bytes != size_bytes {
        return Err(abandon(caller, upload, size_mismatch(size_bytes, attachment.size_bytes)).await);
    }
    if let Err(refused) = save_rules::ask(caller, &upload.slot, Some(size_bytes)) {
        return refuse(caller, upload, refused).await;
    }
    let entry = caller.host.finalize(upload.id, attachment, caller.request.received_ms).await?;
    let Some(entry) = entry else { return Ok(Finalized::Changed) };
    cleanup::discard(caller.host, upload.name).await;
    Ok(Finalized::Entry(entry))
}

/// Abandons an upload that the rules refuse. BuildKit, whose export fails on any error, is told that it
/// became an entry, and nothing that names it does.
async fn refuse<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    refused: Refusal,
) -> Result<Finalized, Error> {
    let is_noted =
        caller.is_export() && refusal::note_upload(caller.host, &upload, caller.request.received_ms).await;
    let is_told = !(is_noted || refused.is_quiet());
    let refusal = refused.into_error(caller);
    refusal.log(caller.host, caller.request);
    let error = abandon(caller, upload, refusal.clone()).await;
    if is_told || error != refusal {
        return Err(error);
    }
    caller.request.record(|outcome| outcome.set_kind(OutcomeKind::Refused));
    Ok(Finalized::InWords)
}

/// The upload's content changes concurrently. A retry succeeds once that ends.
fn upload_changed() -> Error {
    Error::new(Code::Unavailable, "the upload is being changed by another request")
}

fn size_mismatch(expected: u64, uploaded: u64) -> Error {
    Error::new(
        Code::InvalidArgument,
        format!("the size should be {expected} bytes, but {uploaded} bytes were uploaded"),
    )
}

/// Abandons an incomplete upload if the caller owns it. If another job has taken over the slot, its
/// upload is left alone; if the upload has been finalized, nothing is removed. Returns the error
/// for the client.
async fn abandon<H: Host>(caller: &Caller<'_, H>, upload: Upload, error: Error) -> Error {
    if upload.owner != caller.claims.owner {
        return error;
    }
    match caller.host.abandon(upload.id).await {
        Ok(true) => {
            if let Some(Attachment { object, .. }) = upload.attachment {
                cleanup::remove(caller.host, object).await;
            }
            cleanup::discard(caller.host, upload.name).await;
            error
        }
        Ok(false) => error,
        Err(failure) => failure.into(),
    }
}

/// Returns the entry that an upload was finalized into, for a client that repeats its commit
/// because the first response was lost.
///
/// # Errors
/// `not_found` if there is none in the caller's repository and scope, `already_exists` if it has
/// another size.
pub(crate) async fn finalized_entry<H: Host>(
    caller: &Caller<'_, H>,
    upload_id: u64,
    size_bytes: u64,
) -> Result<Entry, Error> {
    let scope = super::writable_scope(caller)?;
    let entry = caller.host.get_entry_of_upload(upload_id).await?;
    let entry = entry.filter(|e| e.slot.repository == caller.claims.repository && e.slot.scope == scope);
    match entry {
        Some(entry) if entry.size_bytes == size_bytes => Ok(entry),
        Some(_) => Err(Error::new(Code::AlreadyExists, "there is an entry of another size already")),
        None => Err(Error::new(Code::NotFound, "there is no such reservation, or it has ended")),
    }
}

/// Returns the entry in the slot, for a client that repeats its finalize. The entry must have the
/// caller's owner and the same size; an entry of a release that did not store owners needs the same
/// size only.
async fn existing_entry<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    size_bytes: u64,
) -> Result<Entry, Error> {
    let probe = Probe { scope: slot.scope, key: slot.key, kind: MatchKind::Exact };
    let found = caller.host.find(slot.repository, slot.version, vec![probe], Vec::new()).await?;
    match found {
        Some(entry) if entry.owner.as_ref().is_some_and(|owner| *owner != caller.claims.owner) => {
            Err(Error::new(Code::AlreadyExists, "another job has saved this key"))
        }
        Some(entry) if entry.size_bytes == size_bytes => Ok(entry),
        Some(_) => Err(Error::new(Code::AlreadyExists, "there is an entry of another size already")),
        None => Err(Error::new(Code::NotFound, "no upload is under way for this key")),
    }
}

#[cfg(test)]
mod tests;
