//! The errors of a storage.

use crate::InvalidName;

/// Why a storage call failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The object, or the upload's blocks, are not there (any more), or the object has another size than the caller knows.
    #[error("not found")]
    NotFound,
    /// The storage is full, or a quota is reached.
    #[error("no space left")]
    NoSpace,
    /// More bytes came than the caller allows (`Source::within`).
    #[error("the body is too large")]
    TooLarge,
    /// What was asked cannot be done, whoever asks again.
    #[error("{0}")]
    Invalid(String),
    /// The storage did not answer as it should; trying again may help.
    #[error("storage unavailable: {context}")]
    Unavailable {
        /// What was being done.
        context: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why it is not known that an object survives a loss of power.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// Bytes of it could not be written to the disk. The kernel says so once, so a later flush that succeeds proves nothing.
    #[error("bytes of an object were lost on their way to the disk")]
    Lost(#[source] StorageError),
    /// The disk was not asked yet, for want of a file descriptor or of memory, say. To be tried again.
    #[error("an object cannot be flushed yet")]
    Retry(#[source] StorageError),
}

impl From<InvalidName> for StorageError {
    fn from(error: InvalidName) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl StorageError {
    /// Makes an error that may pass.
    pub fn unavailable(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { context, source: source.into() }
    }
}

/// Why the bytes that are to be stored stopped coming.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The client broke off before the announced end.
    #[error("the body ended early")]
    CutShort,
    /// More bytes came than the caller allows.
    #[error("the body is too large")]
    TooLarge,
}

impl From<SourceError> for StorageError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::CutShort => Self::Invalid(error.to_string()),
            SourceError::TooLarge => Self::TooLarge,
        }
    }
}
