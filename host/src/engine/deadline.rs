//! How long a component may run without a pause, and how it shares its thread.
//!
//! An instance runs many calls at once, so a deadline for each call would hit whichever call runs
//! at that moment. The limit is on one *slice* instead: the time from when the thread enters the
//! instance until the instance waits for the host. Well-behaved calls wait after microseconds.
//!
//! A slice that is longer than a tick is interrupted at each tick, so that everything else on the
//! thread gets its turn. Only the limit ends it. The guests of several tenants pause then ([`PAUSE`]),
//! and have a budget, too (`tenant/cpu.rs`): past it an instance is not entered until the budget has recovered.
//!
//! What the operator's rules compute for a guest counts against the budget and not as part of the
//! slice: it has limits of its own, and rules that spin must not end the guest that asked them.

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};

use tokio::time::Sleep;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::tenant::{CpuBudget, begin_paid_turn, end_paid_turn};

/// A slice is interrupted at a tick only if it has run for so long since the last one: the first
/// tick after an instance was entered may follow at once.
const SHORTEST_TURN: Duration = Duration::from_millis(3);

/// How long an instance that was interrupted waits, where other tenants share its thread. A short request of theirs takes
/// several rounds of the runtime, and would wait for a turn in each of them.
const PAUSE: Duration = Duration::from_millis(1);

thread_local! {
    /// The turn of the instance that this thread runs.
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// A slice was longer than the limit: its milliseconds.
#[derive(Debug, thiserror::Error)]
#[error("the component ran for {0} ms without a pause")]
pub(super) struct RanTooLong(u128);

/// A part of a slice: from when the thread enters the instance until it leaves it.
#[derive(Clone, Copy)]
struct Turn {
    entered: Instant,
    /// How long the earlier turns of this slice took.
    before: Duration,
    was_interrupted: bool,
}

impl Turn {
    /// How long the instance has run in this turn, without the rules that it asked.
    fn took(&self) -> Duration {
        self.entered.elapsed().saturating_sub(larder_rules::spent())
    }
}

/// Traps `store` when a slice gets longer than `limit`, to within a tick, and interrupts it at each
/// tick. `has_neighbours`: other tenants' guests run on its thread.
pub(super) fn limit_uninterrupted_run<T>(
    store: &mut Store<T>,
    limit: Duration,
    has_neighbours: bool,
    interrupted: impl Fn() + Send + Sync + 'static,
) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let Some(turn) = TURN.get() else { return Ok(UpdateDeadline::Continue(1)) };
        let took = turn.took();
        let ran = turn.before + took;
        if ran > limit {
            return Err(RanTooLong(ran.as_millis()).into());
        }
        if took < SHORTEST_TURN {
            return Ok(UpdateDeadline::Continue(1));
        }
        TURN.set(Some(Turn { was_interrupted: true, ..turn }));
        interrupted();
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(let_others_run(has_neighbours))))
    });
}

/// The time between two turns of an instance that was interrupted.
async fn let_others_run(has_neighbours: bool) {
    if has_neighbours {
        tokio::time::sleep(PAUSE).await;
    } else {
        // Tokio's own: the runtime looks for what has arrived before it continues here.
        tokio::task::yield_now().await;
    }
}

/// A future of which each poll is a turn of an instance.
pub(super) struct TimedPoll<F> {
    inner: Pin<Box<F>>,
    /// How long the turns of the present slice took.
    before: Duration,
    budget: Option<Arc<CpuBudget>>,
    /// Until when the budget is used up.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> TimedPoll<F> {
    /// Runs `inner`, within the tenant's budget if it has one.
    pub(super) fn new(inner: F, budget: Option<&Arc<CpuBudget>>) -> Self {
        Self { inner: Box::pin(inner), before: Duration::ZERO, budget: budget.cloned(), pause: None }
    }

    /// Accounts for a turn that has ended.
    fn account(&mut self, turn: Turn) {
        self.before = if turn.was_interrupted { turn.before + turn.took() } else { Duration::ZERO };
        let Some(budget) = &self.budget else { return };
        let paid = turn.entered.elapsed().saturating_sub(end_paid_turn());
        self.pause = budget.charge(paid).map(|pause| Box::pin(tokio::time::sleep(pause)));
    }
}

impl<F: Future> Future for TimedPoll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let turn = Turn { entered: Instant::now(), before: this.before, was_interrupted: false };
        TURN.set(Some(turn));
        if this.budget.is_some() {
            begin_paid_turn();
        }
        let _ = larder_rules::take_spent();
        let polled = this.inner.as_mut().poll(cx);
        this.account(TURN.take().unwrap_or(turn));
        polled
    }
}

/// The thread that increments the engine's epoch, every tick, until this is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine, tick: Duration) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.weak(), stop.clone());
        thread::Builder::new().name("larder-ticker".into()).stack_size(64 * 1024).spawn(move || {
            while !stopped.load(Relaxed) {
                thread::sleep(tick);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests;
