//! What a sweep could not remove.

use crate::{causes::chain, storage::StorageError};

/// So many objects that could not be removed, and a sweep stops: then it is the storage that fails.
const MAX_FAILURES: usize = 16;

/// Counts what could not be removed. One that never can must not keep all those behind it from going.
#[derive(Default)]
pub(super) struct Failures(usize);

impl Failures {
    /// Returns whether something was removed.
    ///
    /// # Errors
    /// The storage's, once there were too many.
    pub(super) fn note(&mut self, removed: Result<(), StorageError>) -> Result<bool, StorageError> {
        let Err(error) = removed else { return Ok(true) };
        self.0 += 1;
        if self.0 > MAX_FAILURES {
            return Err(error);
        }
        tracing::warn!(error = %chain(&error), "an object could not be removed; a later sweep tries again");
        Ok(false)
    }
}
