//! Failed removals of a sweep.

use larder_common::causes::chain;
use larder_storage::StorageError;

/// Most failures before a sweep stops: after more it is the storage that fails, not an object.
const MAX_FAILURES: usize = 16;

/// Counts failed removals. An object that can never be removed must not block the sweep of all
/// others.
#[derive(Default)]
pub(super) struct Failures(usize);

impl Failures {
    /// Counts the result of one removal, and returns whether it succeeded.
    ///
    /// # Errors
    /// The storage's error, after more than [`MAX_FAILURES`] of them.
    pub(super) fn record(&mut self, removed: Result<(), StorageError>) -> Result<bool, StorageError> {
        let Err(error) = removed else { return Ok(true) };
        self.0 += 1;
        if self.0 > MAX_FAILURES {
            return Err(error);
        }
        tracing::warn!(error = %chain(&error), "cannot remove an object; a later sweep retries");
        Ok(false)
    }
}
