//! Maps I/O errors. No other file of the driver does.

use std::{error::Error, io};

use crate::StorageError;

/// Returns the conversion of errors, with this context.
pub(super) fn failed(context: &'static str) -> impl Fn(io::Error) -> StorageError {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::NoSpace,
        _ => unavailable(context, error),
    }
}

/// Returns the conversion of errors of files that may not exist.
pub(super) fn missing_or(context: &'static str) -> impl Fn(io::Error) -> StorageError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => StorageError::NotFound,
        _ => failed(context)(error),
    }
}

/// Makes a [`StorageError::Unavailable`].
pub(super) fn unavailable(
    context: &'static str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> StorageError {
    StorageError::unavailable(context, source)
}
