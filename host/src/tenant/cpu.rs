//! A tenant's share of the CPU: what its guests may compute in long turns.
//!
//! Requests of the built-in policy take microseconds and are not counted. Longer turns hold up
//! everything else on their thread: they are paid from a budget that refills with time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Shorter turns are free.
const FREE_TURN: Duration = Duration::from_micros(250);
/// What may be saved up: a block list of 50,000 ids takes some tens of milliseconds.
const BURST: Duration = Duration::from_millis(100);

/// The budget of one tenant, for all its guests on all threads.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    /// Nanoseconds of time in which one nanosecond of CPU is refilled.
    refill: f64,
    began: Instant,
    /// When everything that was used will be refilled, in nanoseconds since `began`.
    refilled_ns: AtomicU64,
}

impl CpuBudget {
    /// `percent`: of one core, from 1 to 100 and more.
    #[must_use]
    pub(crate) fn new(percent: u32) -> Self {
        let refill = 100.0 / f64::from(percent.max(1));
        Self { refill, began: Instant::now(), refilled_ns: AtomicU64::new(0) }
    }

    /// Takes a turn from the budget. Returns how long to wait before the next one, if it is used
    /// up.
    pub(crate) fn charge(&self, turn: Duration) -> Option<Duration> {
        self.charge_at(turn, self.began.elapsed())
    }

    fn charge_at(&self, turn: Duration, now: Duration) -> Option<Duration> {
        if turn < FREE_TURN {
            return None;
        }
        let (cost, now) = (nanoseconds(turn.mul_f64(self.refill)), nanoseconds(now));
        let refilled = |at: u64| at.max(now).saturating_add(cost);
        // Always succeeds: the closure always returns a value.
        let before = self.refilled_ns.fetch_update(Relaxed, Relaxed, |at| Some(refilled(at)));
        let debt = refilled(before.unwrap_or_else(|at| at)) - now;
        let over = debt.checked_sub(nanoseconds(BURST.mul_f64(self.refill)))?;
        (over > 0).then(|| Duration::from_nanos(over))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
