//! What others have of an exchange.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{ExchangeError, Request, known};
use crate::versions::{Follower, InForce, Version};

/// What is in force, and a way to have it exchanged. Cloned, it is of the same exchange.
#[derive(Clone)]
pub(crate) struct ExchangeHandle {
    requests: mpsc::UnboundedSender<Request>,
    in_force: watch::Receiver<InForce>,
    counts: Arc<Counts>,
    is_followed: bool,
}

/// What has become of the versions that were to be put in force.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    taken: AtomicU64,
    refused: AtomicU64,
    went_back: AtomicU64,
}

impl Counts {
    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn went_back(&self) {
        self.went_back.fetch_add(1, Relaxed);
    }
}

impl ExchangeHandle {
    pub(super) fn new(
        requests: mpsc::UnboundedSender<Request>,
        in_force: watch::Receiver<InForce>,
        counts: Arc<Counts>,
        is_followed: bool,
    ) -> Self {
        Self { requests, in_force, counts, is_followed }
    }

    /// Returns what is in force.
    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.borrow().clone()
    }

    /// Whether the configuration and the commands say what is in force, and not the embedding program.
    pub(crate) fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Returns how many versions were put in force, could not be, and went back by themselves.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { taken, refused, went_back } = &*self.counts;
        [("ok", taken), ("refused", refused), ("went_back", went_back)]
            .map(|(result, count)| (result, count.load(Relaxed)))
    }

    /// Has it look for changes now.
    pub(crate) fn look(&self) {
        // Fails only while the server stops.
        let _ = self.requests.send(Request::Look);
    }

    /// Puts this in force.
    ///
    /// # Errors
    /// [`ExchangeError`] when it cannot be used: the earlier one stays.
    pub(crate) async fn put(&self, content: Vec<u8>) -> Result<(), ExchangeError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Put { content, reply }).map_err(|_| ExchangeError::Stopping)?;
        answer.await.unwrap_or(Err(ExchangeError::Stopping))
    }
}

impl Follower for ExchangeHandle {
    fn look(&self) {
        Self::look(self);
    }

    fn has(&self, version: &Version) -> Option<bool> {
        Some(self.in_force.borrow().version.digest == version.digest)
    }

    fn has_chosen(&self) -> Option<bool> {
        Some(self.in_force.borrow().source == known::CHOSEN)
    }
}
