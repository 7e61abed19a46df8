//! Keeps what comes again and again from filling the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one through in a while.
#[derive(Debug)]
pub(crate) struct Throttle {
    pause: Duration,
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    /// One in each `pause`.
    pub(crate) const fn new(pause: Duration) -> Self {
        Self { pause, last: parking_lot::const_mutex(None) }
    }

    /// Returns whether this one may go through.
    pub(crate) fn allows(&self) -> bool {
        let (now, mut last) = (Instant::now(), self.last.lock());
        let allowed = last.is_none_or(|last| now.duration_since(last) >= self.pause);
        if allowed {
            *last = Some(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests;
