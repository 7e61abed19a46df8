//! From a stored object to the content of an upload: the object is there first, then the row refers to it.

use crate::cleanup;
use crate::ports::{AttachOutcome, Host, IndexError, MatchKind, Probe, Slot, Stored, Upload};

/// Why an object did not become the content of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttachError {
    /// It is larger than an entry may be: the upload is given up, the object removed.
    TooLarge,
    /// The upload ended meanwhile without this object, which is removed.
    UploadGone,
    /// The upload was handed out once more meanwhile: the object is removed, and the writer that sent it is none any more.
    Displaced,
    /// The index does not answer.
    Index(IndexError),
}

impl From<IndexError> for AttachError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// Attaches an object to its upload, and removes the object that it replaces. `upload` is what the index said when the request
/// for it began.
///
/// # Errors
/// Where it is too large, the upload is gone or another writer's, or the index does not answer.
pub(crate) async fn attach<H: Host>(
    host: &H,
    upload: Upload,
    stored: Stored,
    now_ms: u64,
) -> Result<(), AttachError> {
    if host.settings().max_entry_bytes.is_some_and(|limit| stored.size_bytes > limit) {
        give_up(host, upload, stored.object).await?;
        return Err(AttachError::TooLarge);
    }
    let object = stored.object.clone();
    if is_displaced(host, &upload).await? {
        cleanup::remove(host, object).await;
        return Err(AttachError::Displaced);
    }
    match host.attach(upload.id, stored, now_ms).await? {
        AttachOutcome::Attached(Some(replaced)) if replaced != object => {
            cleanup::remove(host, replaced).await;
            Ok(())
        }
        AttachOutcome::Attached(_) => Ok(()),
        AttachOutcome::Gone => settle(host, upload.slot, object).await,
    }
}

/// Returns whether the upload was handed out once more while its content came, by another server that did not see it come.
async fn is_displaced<H: Host>(host: &H, upload: &Upload) -> Result<bool, IndexError> {
    let now = host.get_upload_by_id(upload.id).await?;
    Ok(now.is_some_and(|now| now.created_ms != upload.created_ms))
}

/// Frees the slot of content that is too large. A committed upload takes no other content, so that it is of no more use.
async fn give_up<H: Host>(host: &H, upload: Upload, object: String) -> Result<(), AttachError> {
    if host.abandon(upload.id).await? {
        cleanup::discard(host, upload.name).await;
        cleanup::remove(host, object).await;
    }
    Ok(())
}

/// Decides what becomes of an object whose upload is gone. A commit that is repeated names the same object again; if the
/// upload was finalized between the two, the entry lives of this object, and the repeat has succeeded.
async fn settle<H: Host>(host: &H, slot: Slot, object: String) -> Result<(), AttachError> {
    let probe = Probe { scope: slot.scope, key: slot.key, kind: MatchKind::Exact };
    let entry = host.find(slot.repository, slot.version, vec![probe], Vec::new()).await?;
    if entry.is_some_and(|entry| entry.object == object) {
        return Ok(());
    }
    cleanup::remove(host, object).await;
    Err(AttachError::UploadGone)
}

#[cfg(test)]
mod tests;
