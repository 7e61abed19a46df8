//! Sweeps on demand, and what is known of those that were.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for one sweep, which serves all of them.
const WAITING: usize = 16;

/// What is known of the full sweeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct SweepState {
    /// When the last one ended well, in milliseconds since 1970.
    pub(crate) succeeded_ms: Option<u64>,
    /// When the last one failed.
    pub(crate) failed_ms: Option<u64>,
    /// Why that was.
    pub(crate) error: Option<String>,
}

/// Who may ask for sweeps.
pub(crate) struct SweepControl {
    requests: mpsc::Sender<oneshot::Sender<bool>>,
    state: Arc<Mutex<SweepState>>,
}

/// The janitor's end.
pub(crate) struct SweepRequests {
    requests: mpsc::Receiver<oneshot::Sender<bool>>,
    state: Arc<Mutex<SweepState>>,
}

/// Makes both ends.
pub(crate) fn sweep_control() -> (SweepControl, SweepRequests) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let state = Arc::new(Mutex::default());
    (
        SweepControl { requests: sender, state: Arc::clone(&state) },
        SweepRequests { requests: receiver, state },
    )
}

impl SweepControl {
    /// Has all tenants swept, and returns whether that succeeded. `None` if sweeps are off.
    pub(crate) async fn request(&self) -> Option<bool> {
        let (reply, done) = oneshot::channel();
        self.requests.send(reply).await.ok()?;
        done.await.ok()
    }

    pub(crate) fn state(&self) -> Arc<Mutex<SweepState>> {
        Arc::clone(&self.state)
    }
}

impl SweepRequests {
    /// Notes how a full sweep ended.
    pub(super) fn note(&self, now_ms: u64, failure: Option<String>) {
        let mut state = self.state.lock();
        match failure {
            None => state.succeeded_ms = Some(now_ms),
            Some(error) => (state.failed_ms, state.error) = (Some(now_ms), Some(error)),
        }
    }

    /// Refuses all requests from now on.
    pub(super) fn close(&mut self) {
        self.requests.close();
    }

    /// Returns the next request. Never, once the other end is gone.
    pub(super) async fn next(&mut self) -> oneshot::Sender<bool> {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    /// Returns those that wait besides.
    pub(super) fn waiting(&mut self) -> Vec<oneshot::Sender<bool>> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}
