//! Leaves rules alone that use up their time or memory in vain: a question that spins holds everything
//! else on its thread. Other failures count for nothing: they cost no more than an answer does, and who
//! can make a rule throw must not be able to silence it for others.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::failure::FailureKind;

/// Such failures in a row, after which the rules rest.
const FAILURES: u32 = 3;
/// The first rest, and the longest. It doubles with each question after it that fails, too.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Of one interface.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Returns whether a question may be asked. After a rest one may, and the others only when it has
    /// been answered.
    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        let mut failures = self.0.lock();
        match failures.until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                failures.until = Some(now + rest(failures.in_a_row));
                true
            }
        }
    }

    /// Counts a question that was answered.
    pub(crate) fn succeeded(&self) {
        *self.0.lock() = Failures::default();
    }

    /// Counts a question that failed.
    pub(crate) fn failed(&self, kind: FailureKind, now: Instant) {
        if !matches!(kind, FailureKind::Deadline | FailureKind::Memory) {
            return;
        }
        let mut failures = self.0.lock();
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if failures.in_a_row >= FAILURES {
            failures.until = Some(now + rest(failures.in_a_row));
        }
    }

    /// Until when the rules rest.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.0.lock().until
    }
}

fn rest(in_a_row: u32) -> Duration {
    let doublings = in_a_row.saturating_sub(FAILURES).min(16);
    FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
}

#[cfg(test)]
mod tests;
