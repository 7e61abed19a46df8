//! Whether the client still waits for its response.
//!
//! A call inside the component does not end when its client disconnects. So a host call without a
//! bound of its own, which is the wait for the upstream's response, watches [`ClientGone`].

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// Held while the client waits for the head of its response. Dropped with the connection.
#[derive(Debug)]
pub(crate) struct ClientGuard(Arc<Signal>);

/// Completes when the [`ClientGuard`] is dropped.
#[derive(Clone, Debug)]
pub(crate) struct ClientGone(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    gone: AtomicBool,
    changed: Notify,
}

impl ClientGuard {
    /// Makes a guard, and the handle that watches it.
    #[must_use]
    pub(crate) fn new() -> (Self, ClientGone) {
        let state = Arc::new(Signal::default());
        (Self(state.clone()), ClientGone(state))
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.0.gone.store(true, SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl ClientGone {
    /// Returns when the client no longer waits.
    pub(crate) async fn wait(&self) {
        // Made before the look: it is woken by every drop from now on.
        let changed = self.0.changed.notified();
        if !self.0.gone.load(SeqCst) {
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests;
