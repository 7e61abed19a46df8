//! Limits how often a line is logged.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one event pass in each `pause`, and counts the ones between.
#[derive(Debug)]
pub(crate) struct Throttle {
    pause: Duration,
    state: Mutex<ThrottleState>,
}

#[derive(Debug)]
struct ThrottleState {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// One in each `pause`.
    pub(crate) const fn new(pause: Duration) -> Self {
        Self { pause, state: parking_lot::const_mutex(ThrottleState { last: None, held_back: 0 }) }
    }

    /// Returns whether this event may pass.
    pub(crate) fn allows(&self) -> bool {
        self.due().is_some()
    }

    /// Calls `line` if this event may pass, with the number of events that it stands for.
    pub(crate) fn log(&self, line: impl FnOnce(u64)) {
        if let Some(times) = self.due() {
            line(times);
        }
    }

    /// Returns the number of events that this one stands for, itself and those held back before it,
    /// if it may pass.
    pub(crate) fn due(&self) -> Option<u64> {
        self.state.lock().count(Instant::now(), self.pause)
    }
}

impl Default for Throttle {
    /// One a minute: the warnings of a flood.
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl ThrottleState {
    fn count(&mut self, now: Instant, pause: Duration) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < pause) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back) + 1)
    }
}

#[cfg(test)]
mod tests;
