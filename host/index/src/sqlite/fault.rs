//! Classifies SQLite's errors.

use std::{error::Error, io, iter};

use rusqlite::{ErrorCode, ffi};

use crate::{IndexError, no_space, unavailable};

/// Wraps an error in [`IndexError::NoSpace`] if the disk is full, else in
/// [`IndexError::Unavailable`].
pub(super) fn index_error(context: &'static str, error: impl Error + Send + Sync + 'static) -> IndexError {
    if is_full(&error) { no_space(context, error) } else { unavailable(context, error) }
}

/// Returns whether a full disk, or an exceeded quota, is among the causes.
pub(super) fn is_full(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), source).any(|cause| {
        let of_sqlite = cause.downcast_ref::<rusqlite::Error>().is_some_and(has_full_code);
        let of_system = cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
        of_sqlite || of_system
    })
}

fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    (*error).source()
}

/// In write-ahead mode a database also needs a few pages of shared memory beside it. SQLite has a
/// code of its own for when they cannot be allocated.
fn has_full_code(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}
