//! Slows down a guest that fails again and again: each start of an instance costs the thread that
//! it shares with others.

use std::time::{Duration, Instant};

/// So many faults within [`WINDOW`] are free.
const FREE: u32 = 5;
const WINDOW: Duration = Duration::from_secs(30);
/// The first rest, and the longest. It doubles.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// The recent faults of one guest.
#[derive(Debug, Default)]
pub(super) struct Faults {
    count: u32,
    last: Option<Instant>,
}

impl Faults {
    /// Counts a fault. Returns how long the guest's calls are refused from now on, if at all. Is
    /// forgotten [`WINDOW`] after the last one.
    pub(super) fn count(&mut self, now: Instant) -> Option<Duration> {
        if self.last.is_none_or(|last| now.duration_since(last) > WINDOW) {
            self.count = 0;
        }
        self.count += 1;
        self.last = Some(now);
        let doublings = self.count.checked_sub(FREE + 1)?;
        Some(FIRST_REST.saturating_mul(1 << doublings.min(16)).min(LONGEST_REST))
    }
}

#[cfg(test)]
mod tests;
