//! Keeps what comes again and again from filling the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one through in a while, and counts those that it held back.
#[derive(Debug)]
pub(crate) struct Throttle {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// One in each `pause`.
    pub(crate) const fn new(pause: Duration) -> Self {
        Self { pause, state: parking_lot::const_mutex(State { last: None, held_back: 0 }) }
    }

    /// Returns whether this one may go through.
    pub(crate) fn allows(&self) -> bool {
        self.due().is_some()
    }

    /// Logs with `line`, if this one may go through. `line` is given the number of times that it is for.
    pub(crate) fn log(&self, line: impl FnOnce(u64)) {
        if let Some(times) = self.due() {
            line(times);
        }
    }

    /// Returns for how many this one stands, with those that were held back before it, if it may go through.
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

impl State {
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
