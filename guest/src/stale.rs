//! Entries whose object is gone, or is not the one that was saved.
//!
//! Called by `twirp` and `blob`. A read never deletes such an entry: it says so in the log, once per request, and goes on;
//! the sweep reaps it. Only a save into its slot replaces it.

use crate::ports::{Entry, Host, Level, StorageError};

/// Why an entry is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Gone,
    OtherSize,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::OtherSize => "size",
        }
    }
}

/// Returns why an entry is stale, or `None` where its object is there in full length.
///
/// # Errors
/// When the storage cannot say.
pub(crate) async fn inspect<H: Host>(host: &H, entry: &Entry) -> Result<Option<Reason>, StorageError> {
    match host.stat(entry.object.clone()).await {
        Ok(size_bytes) if size_bytes == entry.size_bytes => Ok(None),
        Ok(_) => Ok(Some(Reason::OtherSize)),
        Err(StorageError::NotFound) => Ok(Some(Reason::Gone)),
        Err(
            error @ (StorageError::NoSpace
            | StorageError::TooLarge
            | StorageError::Invalid(_)
            | StorageError::Unavailable(_)),
        ) => Err(error),
    }
}

/// Warns of an entry that a request met, and what became of it there.
pub(crate) fn warn<H: Host>(host: &H, outcome: &str, entry: &Entry, reason: Reason) {
    let id = entry.id.to_string();
    let fields = [
        ("entry", id.as_str()),
        ("key", entry.slot.key.as_str()),
        ("object", entry.object.as_str()),
        ("reason", reason.text()),
    ];
    host.log(Level::Warn, outcome, &fields);
}
