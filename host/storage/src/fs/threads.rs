//! Threads that may block on the disk.
//!
//! A file system that hangs (mostly a network's) blocks every thread that calls it, for as long as
//! it hangs. So the number of threads is bounded, and a call that waits too long fails as
//! unavailable. Its thread continues and drops the result.

#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::errors;
use crate::StorageError;

/// The purpose of a thread. Each lane has its own threads, so that a lookup never waits for a
/// transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Queries, opening and creating.
    Queries,
    /// Writing, reading, and changes of several files.
    Transfers,
}

/// Most concurrent calls of a lane.
const MAX_CALLS: usize = 64;

/// Longest wait of a call for a thread and its result. A slow disk takes a second; clients wait for
/// minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[error("the file system does not respond")]
struct Unresponsive;

#[derive(Clone, Debug)]
pub(super) struct Threads {
    queries: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    bound: Duration,
}

impl Default for Threads {
    fn default() -> Self {
        Self::new(MAX_CALLS, CALL_TIMEOUT)
    }
}

/// A call that runs on a thread.
#[derive(Debug)]
pub(super) struct BlockingTask<T> {
    context: &'static str,
    deadline: Instant,
    handle: JoinHandle<Result<T, StorageError>>,
}

impl<T> BlockingTask<T> {
    /// Returns the result, or an error after the time limit: the call continues then. May be called
    /// again if it was cancelled.
    pub(super) async fn outcome(&mut self) -> Result<T, StorageError> {
        match timeout_at(self.deadline, &mut self.handle).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(errors::unavailable(self.context, error)),
            Err(_) => Err(errors::unavailable(self.context, Unresponsive)),
        }
    }
}

impl Threads {
    pub(super) fn new(most: usize, bound: Duration) -> Self {
        Self { queries: Arc::new(Semaphore::new(most)), transfers: Arc::new(Semaphore::new(most)), bound }
    }

    /// Runs work on a thread, and returns its result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        context: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.start(lane, context, work).await?.outcome().await
    }

    /// Starts work on a thread, once one is free.
    pub(super) async fn start<T: Send + 'static>(
        &self,
        lane: Lane,
        context: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<BlockingTask<T>, StorageError> {
        let deadline = Instant::now() + self.bound;
        let permit = self.permit(lane, context, deadline).await?;
        let handle = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(permit);
            outcome
        });
        Ok(BlockingTask { context, deadline, handle })
    }

    async fn permit(
        &self,
        lane: Lane,
        context: &'static str,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, StorageError> {
        let lane = Arc::clone(match lane {
            Lane::Queries => &self.queries,
            Lane::Transfers => &self.transfers,
        });
        match timeout_at(deadline, lane.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(errors::unavailable(context, Unresponsive)),
        }
    }

    /// Bounds the wait for another call that may be blocked on the disk.
    pub(super) async fn bounded<T>(
        &self,
        context: &'static str,
        wait: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        let waited = tokio::time::timeout(self.bound, wait).await;
        waited.map_err(|_| errors::unavailable(context, Unresponsive))
    }

    /// Runs work in the background.
    pub(super) fn in_background(&self, work: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
        let lane = Arc::clone(&self.transfers);
        let Ok(permit) = Arc::clone(&lane).try_acquire_owned() else {
            drop(runtime.spawn(async move {
                let permit = lane.acquire_owned().await;
                drop(tokio::task::spawn_blocking(move || {
                    work();
                    drop(permit);
                }));
            }));
            return;
        };
        drop(runtime.spawn_blocking(move || {
            work();
            drop(permit);
        }));
    }
}
