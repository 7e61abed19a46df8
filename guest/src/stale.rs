//! Stale entries: their object is gone, or is not the one that was saved.
//!
//! Called by `service` and `blob`. A read never deletes a stale entry: it logs a warning, once per
//! request, and continues; the sweep deletes it. Only a save into its slot replaces it.

use crate::ports::{Entry, Host, Level, StorageError};

/// Why an entry is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StaleReason {
    Gone,
    OtherSize,
}

impl StaleReason {
    fn text(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::OtherSize => "size",
        }
    }
}

/// Returns why an entry is stale, or `None` if its object exists with the entry's size.
///
/// # Errors
/// When the storage does not answer.
pub(crate) async fn check<H: Host>(host: &H, entry: &Entry) -> Result<Option<StaleReason>, StorageError> {
    match host.stat(entry.object.clone()).await {
        Ok(size_bytes) if size_bytes == entry.size_bytes => Ok(None),
        Ok(_) => Ok(Some(StaleReason::OtherSize)),
        Err(StorageError::NotFound) => Ok(Some(StaleReason::Gone)),
        Err(
            error @ (StorageError::NoSpace
            | StorageError::TooLarge
            | StorageError::Invalid(_)
            | StorageError::Unavailable(_)),
        ) => Err(error),
    }
}

/// Logs a warning about a stale entry and what the request did about it.
pub(crate) fn warn<H: Host>(host: &H, outcome: &str, entry: &Entry, reason: StaleReason) {
    let id = entry.id.to_string();
    let fields = [
        ("entry", id.as_str()),
        ("key", entry.slot.key.as_str()),
        ("object", entry.object.as_str()),
        ("reason", reason.text()),
    ];
    host.log(Level::Warn, outcome, &fields);
}
