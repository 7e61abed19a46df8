//! The errors of a storage.

use crate::InvalidName;

/// Why a storage call failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The object or upload does not exist (any more), or the object has another size.
    #[error("not found")]
    NotFound,
    /// The storage is full, or a quota is reached.
    #[error("no space left")]
    NoSpace,
    /// The source has more bytes than `Source::within` allows.
    #[error("the body is too large")]
    TooLarge,
    /// The request cannot succeed; retrying does not help.
    #[error("{0}")]
    Invalid(String),
    /// The storage failed; retrying may help.
    #[error("storage unavailable: {context}")]
    Unavailable {
        /// What was being done, such as `opening an object`.
        context: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an object may not be durable.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The kernel could not write some of its bytes. It reports this only once, so a later flush
    /// that succeeds proves nothing.
    #[error("bytes of an object could not be written to the disk")]
    Lost(#[source] StorageError),
    /// The flush was not attempted, for want of a file descriptor or memory, say. It can be
    /// retried.
    #[error("an object cannot be flushed yet")]
    Retry(#[source] StorageError),
}

impl From<InvalidName> for StorageError {
    fn from(error: InvalidName) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl StorageError {
    /// Makes an [`Self::Unavailable`].
    pub fn unavailable(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { context, source: source.into() }
    }
}

/// Why a source ended early.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The client disconnected before the announced end.
    #[error("the body ended early")]
    CutShort,
    /// The source has more bytes than `Source::within` allows.
    #[error("the body is too large")]
    TooLarge,
    /// There is no room for the rest of it: a limit of what may be stored is reached.
    #[error("there is no room for the body")]
    NoRoom,
}

impl From<SourceError> for StorageError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::CutShort => Self::Invalid(error.to_string()),
            SourceError::TooLarge => Self::TooLarge,
            SourceError::NoRoom => Self::NoSpace,
        }
    }
}
