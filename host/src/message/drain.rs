//! Reads and discards the rest of bodies that nobody wants.
//!
//! The response may be complete before the client has sent its whole body. Closing the connection
//! then would reset it, and the client might never read the response. So the rest is read on.

#[cfg(test)]
mod tests;

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::{sync::Semaphore, time::timeout};

use super::WireBody;

/// Most bytes of one body that are read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The rest of all bodies of this process.
pub(super) static DRAINS: Drains = Drains::new(128, Duration::from_secs(10), Duration::from_secs(3));

/// Bounds how many bodies are read on at once: each does so with a buffer of its connection (up to
/// 48 KiB where they are many), which is in no budget. The others wait as they are, and their clients
/// may read their responses meanwhile.
pub(super) struct Drains {
    places: Semaphore,
    /// Longest time for a body, with its wait for a place.
    limit: Duration,
    /// Longest pause between its bytes: a client that sends nothing leaves its place to the next.
    pause: Duration,
}

impl Drains {
    const fn new(places: usize, limit: Duration, pause: Duration) -> Self {
        Self { places: Semaphore::const_new(places), limit, pause }
    }

    /// Reads a body to its end, if it comes within the limits. Else its connection is closed.
    pub(super) async fn drain(&self, body: WireBody) {
        let _ = timeout(self.limit, self.discard(body)).await;
    }

    async fn discard(&self, mut body: WireBody) {
        let Ok(_place) = self.places.acquire().await else { return };
        let mut left = MOST_BYTES;
        while let Ok(Some(Ok(frame))) = timeout(self.pause, body.frame()).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                return;
            }
        }
    }
}
