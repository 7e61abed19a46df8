//! Limits how many long searches run at once.
//!
//! A long search runs on a thread for blocking work. There are few of these, and they are also
//! needed to write blocks, for example. So only a few searches run at once, and the others wait in
//! the order of their arrival.

use std::{error::Error, sync::Arc};

use tokio::sync::Semaphore;

/// Long searches that run at once, over all worker threads. Each worker thread has 16 threads for
/// blocking work.
pub(super) const MAX_LONG_SEARCHES: usize = 4;

/// A queue (FIFO) for long searches.
pub(super) struct LongSearches(Arc<Semaphore>);

impl LongSearches {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LONG_SEARCHES)))
    }

    /// Runs `work` on a thread for blocking work once a permit is free. The permit is held until
    /// `work` ends, even if the caller is gone by then. A caller that gives up while waiting takes
    /// no permit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let turn = Arc::clone(&self.0).acquire_owned().await?;
        let in_turn = move || {
            let _turn = turn;
            work()
        };
        Ok(tokio::task::spawn_blocking(in_turn).await?)
    }
}

#[cfg(test)]
mod tests;
