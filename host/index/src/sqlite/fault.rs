//! What an error of SQLite means for the caller.

use std::{error::Error, io, iter};

use rusqlite::{ErrorCode, ffi};

use crate::{IndexError, no_space, unavailable};

/// Turns a failure into the error of the index.
pub(super) fn failed(context: &'static str, error: impl Error + Send + Sync + 'static) -> IndexError {
    if is_full(&error) { no_space(context, error) } else { unavailable(context, error) }
}

/// Returns whether the cause is that the disk is full.
pub(super) fn is_full(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), source).any(|cause| {
        let of_sqlite = cause.downcast_ref::<rusqlite::Error>().is_some_and(says_full);
        let of_system = cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
        of_sqlite || of_system
    })
}

fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    (*error).source()
}

/// A database in write-ahead mode also needs a few pages of shared memory beside it, and has a code of its own for the lack
/// of these.
fn says_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}
