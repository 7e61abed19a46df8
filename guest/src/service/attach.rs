//! Attaching a stored object to its upload: the object exists first, then the row refers to it.

use super::{Code, Error};
use crate::cleanup;
use crate::ports::{AttachOutcome, Host, IndexError, MatchKind, Probe, Slot, Stored, Upload};

/// Why an object was not attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttachError {
    /// It is larger than an entry may be. The upload is abandoned, the object removed.
    TooLarge,
    /// The upload is gone, and no entry was made of this object, which is removed.
    UploadGone,
    /// The upload has been renewed for another writer. The object is removed.
    Displaced,
    /// The index failed.
    Index(IndexError),
}

impl AttachError {
    /// Returns the error for the client.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::TooLarge => {
                Error::new(Code::InvalidArgument, "the entry is larger than this server allows")
            }
            Self::UploadGone => Error::new(Code::AlreadyExists, "the upload has ended in the meantime"),
            Self::Displaced => Error::new(Code::AlreadyExists, super::DISPLACED),
            Self::Index(error) => error.into(),
        }
    }
}

impl From<IndexError> for AttachError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// Attaches an object to its upload, and removes the object that it replaces. `upload` is its row
/// as of the begin of the request.
///
/// # Errors
/// If the object is too large, the upload is gone or has another writer, or the index fails.
pub(crate) async fn attach<H: Host>(
    host: &H,
    upload: Upload,
    stored: Stored,
    now_ms: u64,
) -> Result<(), AttachError> {
    if host.settings().max_entry_bytes.is_some_and(|limit| stored.size_bytes > limit) {
        abandon(host, upload, stored.object).await?;
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
        AttachOutcome::Gone => check_finalized(host, upload.slot, object).await,
    }
}

/// Returns whether the upload has been renewed while its content arrived, by another server that
/// could not see it arrive.
async fn is_displaced<H: Host>(host: &H, upload: &Upload) -> Result<bool, IndexError> {
    let current = host.get_upload_by_id(upload.id).await?;
    Ok(current.is_some_and(|current| current.created_ms != upload.created_ms))
}

/// Abandons the upload of content that is too large: a committed upload takes no other content.
async fn abandon<H: Host>(host: &H, upload: Upload, object: String) -> Result<(), AttachError> {
    if host.abandon(upload.id).await? {
        cleanup::remove(host, object).await;
        cleanup::discard(host, upload.name).await;
    }
    Ok(())
}

/// Succeeds if the upload has become an entry with this object, and removes the object otherwise. A
/// repeated commit returns the same object, and the upload may have been finalized in between.
async fn check_finalized<H: Host>(host: &H, slot: Slot, object: String) -> Result<(), AttachError> {
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
