//! Warnings that a flood cannot turn into a flood of log lines.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Least time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);

/// Lets at most one line of a kind pass each minute, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Notice(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Notice {
    /// Logs with `line` unless that was done within the last minute. `line` is given the number of times that it is for.
    pub(super) fn log(&self, line: impl FnOnce(u64)) {
        if let Some(times) = self.0.lock().count(Instant::now()) {
            line(times);
        }
    }
}

impl State {
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back) + 1)
    }
}

#[cfg(test)]
mod tests;
