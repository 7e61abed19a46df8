//! What an I/O error means to a caller of the storage. The only place of the driver that decides it.

use std::{error::Error, io};

use crate::StorageError;

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
