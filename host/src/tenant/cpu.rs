//! A tenant's share of the CPU: what its guests may compute in long turns.
//!
//! Each call brings [`FREE_PER_CALL`] with it, of which one of the built-in policy takes some tens of
//! microseconds: so a tenant with many honest calls is never held up. What computes for longer is paid from a
//! budget that refills with time. What the host does for a guest, such as writing a block, is not
//! counted.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What a call may compute for nothing.
const FREE_PER_CALL: Duration = Duration::from_micros(250);
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

    /// Adds what a call may compute for nothing. It pays for what was computed before, and does not
    /// make the burst larger: so calls that compute little leave nothing for others.
    pub(crate) fn begin_call(&self) {
        let free = nanoseconds(FREE_PER_CALL.mul_f64(self.refill));
        self.refilled_ns.fetch_update(Relaxed, Relaxed, |at| Some(at.saturating_sub(free))).ok();
    }

    /// Takes a turn from the budget. Returns how long to wait before the next one, if it is used
    /// up.
    pub(crate) fn charge(&self, turn: Duration) -> Option<Duration> {
        self.charge_at(turn, self.began.elapsed())
    }

    fn charge_at(&self, turn: Duration, now: Duration) -> Option<Duration> {
        let (cost, now) = (nanoseconds(turn.mul_f64(self.refill)), nanoseconds(now));
        let refilled = |at: u64| at.max(now).saturating_add(cost);
        // Always succeeds: the closure always returns a value.
        let before = self.refilled_ns.fetch_update(Relaxed, Relaxed, |at| Some(refilled(at)));
        let debt = refilled(before.unwrap_or_else(|at| at)) - now;
        let over = debt.checked_sub(nanoseconds(BURST.mul_f64(self.refill)))?;
        (over > 0).then(|| Duration::from_nanos(over))
    }
}

thread_local! {
    /// How long the present turn of this thread was the host's work; `None` where nobody pays for it.
    static UNPAID: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Does the host's work during a turn.
pub(crate) fn unpaid<T>(work: impl FnOnce() -> T) -> T {
    let Some(before) = UNPAID.get() else { return work() };
    let began = Instant::now();
    let done = work();
    UNPAID.set(Some(before + began.elapsed()));
    done
}

/// Begins a turn of this thread for which a tenant pays.
pub(crate) fn begin_paid_turn() {
    UNPAID.set(Some(Duration::ZERO));
}

/// Ends it. Returns how long [`unpaid`] work took in it.
pub(crate) fn end_paid_turn() -> Duration {
    UNPAID.take().unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
