//! How fast a scrub reads.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Longest time that a reader that was slow may make up for.
const MOST_AHEAD: Duration = Duration::from_secs(1);

/// Keeps to a number of bytes a second.
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next bytes may be read.
    next: Instant,
}

impl Pace {
    /// `None`: as fast as it goes.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.filter(|rate| *rate > 0), next: Instant::now() }
    }

    /// Waits until so many bytes may have been read.
    pub(super) async fn read(&mut self, bytes: u64) {
        if let Some(due) = self.due(bytes, Instant::now()) {
            sleep_until(due).await;
        }
    }

    /// When the bytes that were read now may have been read; `None`: now.
    pub(super) fn due(&mut self, bytes: u64, now: Instant) -> Option<Instant> {
        let rate = self.bytes_per_second?;
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate);
        let takes = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let earliest = now.checked_sub(MOST_AHEAD).unwrap_or(self.next);
        self.next = self.next.max(earliest) + takes;
        Some(self.next)
    }
}
