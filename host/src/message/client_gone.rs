//! Whether a client still waits for its answer.
//!
//! A call inside the component does not end when its client goes; so what may wait for ever, which is an answer of the
//! upstream's, asks here.

use tokio::sync::watch;

/// Held as long as the client waits for the answer to begin. Dropped with the connection.
#[derive(Debug)]
pub struct ClientGuard {
    _held: watch::Sender<()>,
}

/// Tells when the client is gone.
#[derive(Clone, Debug)]
pub struct ClientGone(watch::Receiver<()>);

impl ClientGuard {
    /// Makes one, and what tells of it.
    #[must_use]
    pub fn new() -> (Self, ClientGone) {
        let (held, receiver) = watch::channel(());
        (Self { _held: held }, ClientGone(receiver))
    }
}

impl ClientGone {
    /// Returns when the client no longer waits.
    pub async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
