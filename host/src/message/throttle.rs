//! Warnings that a flood would repeat without end.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Shortest time between two lines that say the same.
const PAUSE: Duration = Duration::from_secs(60);

/// Lets a line pass at most once a minute, with how often it was due.
#[derive(Debug, Default)]
pub struct Throttle {
    last: Mutex<Option<Instant>>,
    count: AtomicU64,
}

impl Throttle {
    /// Returns how often this was called since it last returned something, if it is time for a line.
    pub fn due(&self) -> Option<u64> {
        self.count.fetch_add(1, Relaxed);
        let mut last = self.last.lock();
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return None;
        }
        *last = Some(Instant::now());
        Some(self.count.swap(0, Relaxed))
    }
}
