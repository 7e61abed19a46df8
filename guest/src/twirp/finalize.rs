//! FinalizeCacheEntryUpload: make what was uploaded an entry.
//!
//! The commit is done by then, so this is fast. A repeat answers as the first call did.

use super::message::Checked;
use super::{Caller, Code, Error, Reply, WRITE_DENIED};
use crate::ports::{Attachment, Host, MatchKind, Probe, Slot, Upload};
use crate::{cleanup, matching};

/// How often to look again when the upload changed while it was looked at.
const ROUNDS: usize = 3;

/// Finalizes the upload in the slot, or returns the entry that is there already.
///
/// # Errors
/// `invalid_argument` where nothing was uploaded, or not as many bytes as the client says: then its upload is gone.
/// `not_found` where there is neither upload nor entry, `already_exists` where there is another entry.
pub(super) async fn finalize<H: Host>(caller: &Caller<'_, H>, message: Checked) -> Result<Reply, Error> {
    let Some(scope) = matching::writable_scope(caller.claims) else {
        return Err(Error::new(Code::PermissionDenied, WRITE_DENIED));
    };
    let size_bytes = message.size_bytes;
    let slot = message.slot(caller.claims, scope);
    for _ in 0..ROUNDS {
        let Some(upload) = caller.host.find_upload(slot.clone()).await? else {
            break;
        };
        if let Some(reply) = publish(caller, upload, size_bytes).await? {
            return Ok(reply);
        }
    }
    existing(caller, slot, size_bytes).await
}

/// Returns `None` where the upload changed or went meanwhile.
async fn publish<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    size_bytes: u64,
) -> Result<Option<Reply>, Error> {
    let Some(attachment) = upload.attachment.clone() else {
        return Err(Error::new(Code::InvalidArgument, "nothing was uploaded for this key"));
    };
    if attachment.size_bytes != size_bytes {
        return Err(mismatch(caller, upload, attachment, size_bytes).await);
    }
    let entry = caller.host.finalize(upload.id, attachment, caller.request.received_ms).await?;
    let Some(entry) = entry else { return Ok(None) };
    cleanup::discard(caller.host, upload.name).await;
    Ok(Some(Reply::Finalized { entry_id: entry.id }))
}

/// Throws away an upload of which not all arrived, if it is the caller's own: somebody else's, who took over the slot, is
/// none of the caller's business. Nothing is removed where the upload was finalized meanwhile.
async fn mismatch<H: Host>(
    caller: &Caller<'_, H>,
    upload: Upload,
    attachment: Attachment,
    size_bytes: u64,
) -> Error {
    let error = Error::new(
        Code::InvalidArgument,
        format!("size_bytes is {size_bytes}, but {} bytes were uploaded", attachment.size_bytes),
    );
    if upload.owner != caller.claims.owner {
        return error;
    }
    match caller.host.abandon(upload.id).await {
        Ok(true) => {
            cleanup::discard(caller.host, upload.name).await;
            cleanup::remove(caller.host, attachment.object).await;
            error
        }
        Ok(false) => error,
        Err(failure) => failure.into(),
    }
}

/// Answers for the entry in the slot: the upload was finalized before, by a call whose answer got lost, say.
async fn existing<H: Host>(caller: &Caller<'_, H>, slot: Slot, size_bytes: u64) -> Result<Reply, Error> {
    let probe = Probe { scope: slot.scope, key: slot.key, kind: MatchKind::Exact };
    let found = caller.host.find(slot.repository, slot.version, vec![probe], Vec::new()).await?;
    match found {
        Some(entry) if entry.size_bytes == size_bytes => Ok(Reply::Finalized { entry_id: entry.id }),
        Some(_) => Err(Error::new(Code::AlreadyExists, "there is an entry of another size already")),
        None => Err(Error::new(Code::NotFound, "no upload is under way for this key")),
    }
}

#[cfg(test)]
mod tests;
