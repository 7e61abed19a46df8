//! Finalizing: make what was uploaded an entry.
//!
//! The commit is done by then, so this is fast. A repeat answers as the first call did.

use super::{Caller, ChunkKind, Code, Error, chunks};
use crate::cleanup;
use crate::ports::{Attachment, Entry, Host, MatchKind, Probe, Slot, Upload};
use crate::writer::Writer;

/// How often to look again when the upload changed while it was looked at.
const ROUNDS: usize = 3;

/// Finalizes the upload in the slot, or returns the entry that is there already.
///
/// An append blob need not have been sealed: what was appended is its content.
///
/// # Errors
/// `invalid_argument` where nothing was uploaded, or not as many bytes as the client says: then its upload is gone.
/// `not_found` where there is neither upload nor entry, `already_exists` where there is somebody else's, `unavailable` where the
/// upload changes all the time.
pub(crate) async fn finalize<H: Host>(
    caller: &Caller<'_, H>,
    slot: Slot,
    size_bytes: u64,
) -> Result<Entry, Error> {
    for _ in 0..ROUNDS {
        let Some(upload) = caller.host.find_upload(slot.clone()).await? else {
            return existing(caller, slot, size_bytes).await;
        };
        if upload.owner != caller.claims.owner {
            return Err(Error::new(Code::AlreadyExists, "somebody else is saving this key"));
        }
        let Some(upload) = with_content(caller, upload).await? else { continue };
        if let Some(entry) = publish(caller, upload, size_bytes).await? {
            return Ok(entry);
        }
    }
    Err(changing())
}

/// Turns an upload that the caller may write, whose content is this writer's chunks of version 1, into an entry of `size_bytes`.
///
/// # Errors
/// `invalid_argument` where the chunks are not exactly that many bytes without gap or overlap: then the upload is gone.
/// Those of [`finalized`] where the upload ended meanwhile, and not as this entry; `unavailable` where its content was replaced.
pub(crate) async fn finalize_chunks<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    writer: Writer,
    size_bytes: u64,
) -> Result<Entry, Error> {
    let id = upload.id;
    match chunks::layout(caller.host, &upload, writer, ChunkKind::Ranged).await? {
        Ok(layout) if layout.size_bytes == size_bytes => {
            if let Some(attachment) = chunks::commit(caller, &upload, layout).await?
                && let Some(entry) =
                    publish(caller, Upload { attachment: Some(attachment), ..upload }, size_bytes).await?
            {
                return Ok(entry);
            }
            match caller.host.get_upload_by_id(id).await? {
                Some(_) => Err(changing()),
                None => finalized(caller, id, size_bytes).await,
            }
        }
        Ok(layout) => Err(give_up(caller, upload, mismatch(size_bytes, layout.size_bytes)).await),
        Err(why) => Err(give_up(caller, upload, Error::new(Code::InvalidArgument, why)).await),
    }
}

/// Returns the upload with its content attached: what was appended to it, where nothing was attached before. `None` where
/// the upload ended meanwhile.
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
        Err(why) => Err(give_up(caller, upload, Error::new(Code::InvalidArgument, why)).await),
    }
}

/// Returns `None` where the upload changed or went meanwhile.
async fn publish<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    size_bytes: u64,
) -> Result<Option<Entry>, Error> {
    let Some(attachment) = upload.attachment.clone() else {
        return Err(Error::new(Code::InvalidArgument, "nothing was uploaded for this key"));
    };
    if attachment.size_bytes != size_bytes {
        return Err(give_up(caller, upload, mismatch(size_bytes, attachment.size_bytes)).await);
    }
    let entry = caller.host.finalize(upload.id, attachment, caller.request.received_ms).await?;
    if entry.is_some() {
        cleanup::discard(caller.host, upload.name).await;
    }
    Ok(entry)
}

/// Somebody attaches other content all the time. It passes, so that it is not said that there is nothing.
fn changing() -> Error {
    Error::new(Code::Unavailable, "the upload is being changed just now")
}

fn mismatch(said: u64, uploaded: u64) -> Error {
    Error::new(
        Code::InvalidArgument,
        format!("the size is said to be {said}, but {uploaded} bytes were uploaded"),
    )
}

/// Throws away an upload of which not all arrived, if it is the caller's own: somebody else's, who took over the slot, is
/// none of the caller's business. Nothing is removed where the upload was finalized meanwhile. Returns what to tell the
/// client.
async fn give_up<H: Host>(caller: &Caller<'_, H>, upload: Upload, error: Error) -> Error {
    if upload.owner != caller.claims.owner {
        return error;
    }
    match caller.host.abandon(upload.id).await {
        Ok(true) => {
            cleanup::discard(caller.host, upload.name).await;
            if let Some(Attachment { object, .. }) = upload.attachment {
                cleanup::remove(caller.host, object).await;
            }
            error
        }
        Ok(false) => error,
        Err(failure) => failure.into(),
    }
}

/// Answers for the entry that an upload has become: a client that lost the first answer to its commit asks again.
///
/// # Errors
/// `not_found` where there is none, or none that the caller may know of; `already_exists` where it has another size.
pub(crate) async fn finalized<H: Host>(
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

/// Answers for the entry in the slot: the upload was finalized before, by a call whose answer got lost, say. Somebody else's
/// entry is not the caller's, whatever its size; of one that was made before the index kept owners the size decides.
async fn existing<H: Host>(caller: &Caller<'_, H>, slot: Slot, size_bytes: u64) -> Result<Entry, Error> {
    let probe = Probe { scope: slot.scope, key: slot.key, kind: MatchKind::Exact };
    let found = caller.host.find(slot.repository, slot.version, vec![probe], Vec::new()).await?;
    match found {
        Some(entry) if entry.owner.as_ref().is_some_and(|owner| *owner != caller.claims.owner) => {
            Err(Error::new(Code::AlreadyExists, "somebody else has saved this key"))
        }
        Some(entry) if entry.size_bytes == size_bytes => Ok(entry),
        Some(_) => Err(Error::new(Code::AlreadyExists, "there is an entry of another size already")),
        None => Err(Error::new(Code::NotFound, "no upload is under way for this key")),
    }
}

#[cfg(test)]
mod tests;
