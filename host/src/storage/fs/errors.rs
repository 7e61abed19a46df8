//! What an I/O error means to a caller of the storage. The only place of the driver that decides it.

use std::{error::Error, io};

use tokio::task::JoinError;

use crate::storage::{SourceError, StorageError};

/// Returns the conversion of errors that come up while doing what `context` says.
pub(super) fn failed(context: &'static str) -> impl Fn(io::Error) -> StorageError {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::NoSpace,
        _ => unavailable(context, error),
    }
}

/// Returns the conversion for files that may be gone.
pub(super) fn missing_or(context: &'static str) -> impl Fn(io::Error) -> StorageError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => StorageError::NotFound,
        _ => failed(context)(error),
    }
}

/// Makes an error that may pass.
pub(super) fn unavailable(
    context: &'static str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> StorageError {
    StorageError::unavailable(context, source)
}

/// Runs what may wait for a disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    context: &'static str,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(lost(context, error)),
    }
}

/// What to say of work that panicked, or that the runtime did not start because it is shutting down.
pub(super) fn lost(context: &'static str, error: JoinError) -> StorageError {
    unavailable(context, error)
}

/// Does what nobody waits for: on a thread that may wait, if there is one.
pub(super) fn in_background(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

impl From<SourceError> for StorageError {
    fn from(error: SourceError) -> Self {
        Self::Invalid(error.to_string())
    }
}
