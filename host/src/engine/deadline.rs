//! How long a component may run without a pause.
//!
//! An instance runs many calls at once, so a deadline for each call would hit whichever call runs
//! at that moment. The limit is on one *slice* instead: the time from when the thread enters the
//! instance until it leaves it. Well-behaved calls leave at every wait for the host, after
//! microseconds.

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use wasmtime::{Engine, Store, UpdateDeadline};

use super::TICK;

thread_local! {
    /// When this thread entered the instance that it runs.
    static ENTERED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Traps `store` when a slice gets longer than `limit`, to within [`TICK`].
pub(super) fn limit_uninterrupted_run<T>(store: &mut Store<T>, limit: Duration) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let ran = ENTERED.get().map_or(Duration::ZERO, |entered| entered.elapsed());
        if ran > limit {
            return Err(wasmtime::format_err!(
                "the component ran for {} ms without a pause",
                ran.as_millis()
            ));
        }
        Ok(UpdateDeadline::Continue(1))
    });
}

/// A future of which each poll is a slice.
pub(super) struct TimedPoll<F>(pub(super) Pin<Box<F>>);

impl<F: Future> Future for TimedPoll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        ENTERED.set(Some(Instant::now()));
        let polled = self.0.as_mut().poll(cx);
        ENTERED.set(None);
        polled
    }
}

/// The thread that increments the engine's epoch, every [`TICK`], until this is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.weak(), stop.clone());
        thread::Builder::new().name("larder-ticker".into()).stack_size(64 * 1024).spawn(move || {
            while !stopped.load(Relaxed) {
                thread::sleep(TICK);
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
