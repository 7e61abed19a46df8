//! Threads that may wait for a disk.
//!
//! A file system that hangs (a network's, mostly) keeps every thread that asks it, for as long as it hangs. So there are only so
//! many at once, and who waits longer than a bound for an answer is told that the storage is unavailable. The thread goes on:
//! what it was given is dropped when it is done.

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

/// What a thread is wanted for. Each has threads of its own, so that a look-up waits for no transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Finding out, opening and creating.
    Looks,
    /// Writing, reading, and what changes several files.
    Transfers,
}

/// Most calls of a lane that wait for the disk at once.
const MOST: usize = 64;

/// How long a call waits for a thread and its answer. A disk that is merely slow takes a second; clients wait for minutes.
const BOUND: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[error("the file system does not answer")]
struct Silent;

#[derive(Debug)]
pub(super) struct Threads {
    looks: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    bound: Duration,
}

impl Default for Threads {
    fn default() -> Self {
        Self::new(MOST, BOUND)
    }
}

/// Work that a thread does.
#[derive(Debug)]
pub(super) struct Task<T> {
    context: &'static str,
    deadline: Instant,
    handle: JoinHandle<Result<T, StorageError>>,
}

impl<T> Task<T> {
    /// Returns the outcome, or an error where it takes too long: then it is still being done. To be called again where the
    /// caller was dropped meanwhile.
    pub(super) async fn outcome(&mut self) -> Result<T, StorageError> {
        match timeout_at(self.deadline, &mut self.handle).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(errors::unavailable(self.context, error)),
            Err(_) => Err(errors::unavailable(self.context, Silent)),
        }
    }
}

impl Threads {
    pub(super) fn new(most: usize, bound: Duration) -> Self {
        Self { looks: Arc::new(Semaphore::new(most)), transfers: Arc::new(Semaphore::new(most)), bound }
    }

    /// Has work done, and returns its outcome.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        context: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.start(lane, context, work).await?.outcome().await
    }

    /// Hands work to a thread, once there is one.
    pub(super) async fn start<T: Send + 'static>(
        &self,
        lane: Lane,
        context: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<Task<T>, StorageError> {
        let deadline = Instant::now() + self.bound;
        let permit = self.permit(lane, context, deadline).await?;
        let handle = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(permit);
            outcome
        });
        Ok(Task { context, deadline, handle })
    }

    async fn permit(
        &self,
        lane: Lane,
        context: &'static str,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, StorageError> {
        let lane = Arc::clone(match lane {
            Lane::Looks => &self.looks,
            Lane::Transfers => &self.transfers,
        });
        match timeout_at(deadline, lane.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(errors::unavailable(context, Silent)),
        }
    }

    /// Bounds the wait for somebody else who may be waiting for the disk.
    pub(super) async fn bounded<T>(
        &self,
        context: &'static str,
        wait: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        let waited = tokio::time::timeout(self.bound, wait).await;
        waited.map_err(|_| errors::unavailable(context, Silent))
    }

    /// Has work done that nobody waits for.
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
