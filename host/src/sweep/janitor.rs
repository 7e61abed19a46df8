//! Everything that runs by the clock, on a thread of its own: writing uses down, flushing, sweeping.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    select,
    sync::watch,
    task::LocalSet,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until},
};

use super::{Report, SweepError, Sweeper};
use crate::{
    causes::chain,
    {engine::Policy, index::IndexError, services::Services},
};

/// When what is done.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How often uses are written down.
    pub recency: Duration,
    /// How often what is swept; `None` never.
    pub sweeps: Option<Sweeps>,
    /// How old an object is before it can be an orphan, in milliseconds.
    pub orphan_grace_ms: u64,
}

/// How often what is swept.
#[derive(Clone, Copy, Debug)]
pub struct Sweeps {
    /// Abandoned uploads: each holds a slot and takes space.
    pub uploads: Duration,
    /// Everything: each entry and each object is looked at. The first time is ten minutes after the start, so that a
    /// server that is restarted every day does it, too.
    pub everything: Duration,
}

/// When everything is swept for the first time.
const FIRST_FULL_SWEEP: Duration = Duration::from_secs(10 * 60);

/// Shortest time between a sweep and one that is made because the disk is full.
const PRESSED_PAUSE: Duration = Duration::from_secs(30);

/// The thread.
pub struct Janitor {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Janitor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no thread or runtime to be had.
    pub fn start(policy: Policy, services: Services, schedule: Schedule) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
        let thread = std::thread::Builder::new().name("larder-janitor".into()).spawn(move || {
            LocalSet::new().block_on(&runtime, work(&policy, &services.for_thread(), &schedule, stopped));
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Writes down what is left in memory and ends the thread.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

async fn work(
    policy: &Policy,
    services: &Arc<Services>,
    schedule: &Schedule,
    mut stopped: watch::Receiver<bool>,
) {
    let flushing = services.durability.run_flusher(services.storage.clone(), services.index.clone());
    select! {
        () = flushing => {}
        () = keep_recency(services, schedule.recency) => {}
        () = keep_sweeping(policy, services, schedule) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    write_recency(services).await;
    if let Err(error) = services.storage.settle().await {
        tracing::warn!(error = %chain(&error), "staged blocks that were in memory only are lost");
    }
    if let Err(error) = services.durability.flush_once(&*services.storage, &*services.index).await {
        tracing::warn!(error = %chain(&error), "the last entries are not known to be durable");
    }
}

async fn keep_recency(services: &Services, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        write_recency(services).await;
    }
}

async fn write_recency(services: &Services) {
    if let Err(error) = services.usage.flush(&services.index).await {
        tracing::warn!(error = %chain(&error), "last-used times not persisted yet, retrying");
        if matches!(error, IndexError::NoSpace { .. }) {
            services.pressure.report();
        }
    }
}

async fn keep_sweeping(policy: &Policy, services: &Arc<Services>, schedule: &Schedule) {
    let Some(sweeps) = schedule.sweeps else { return std::future::pending().await };
    let mut small = interval(sweeps.uploads);
    let mut full = interval_at(Instant::now() + FIRST_FULL_SWEEP.min(sweeps.everything), sweeps.everything);
    small.set_missed_tick_behavior(MissedTickBehavior::Delay);
    full.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut not_before = Instant::now();
    loop {
        let pressed = async {
            sleep_until(not_before).await;
            services.pressure.wait().await;
        };
        let scope = select! {
            biased;
            () = pressed => Scope::Everything,
            _ = full.tick() => Scope::Everything,
            _ = small.tick() => Scope::Uploads,
        };
        let began = Instant::now();
        make_sweep(policy, services, schedule.orphan_grace_ms, scope).await;
        // On a disk that stays full, sweeps take a tenth of the time at most.
        not_before = Instant::now() + PRESSED_PAUSE.max(began.elapsed() * 10);
    }
}

/// Sweeps, and once more with the ballast given up where the disk of the index is full.
async fn make_sweep(policy: &Policy, services: &Arc<Services>, orphan_grace_ms: u64, scope: Scope) {
    let mut swept = sweep(policy, services, orphan_grace_ms, scope).await;
    if swept.as_ref().is_err_and(SweepError::is_no_space) && services.pressure.drop_ballast() {
        tracing::warn!("the disk of the database is full: its reserve is given up to make room");
        swept = sweep(policy, services, orphan_grace_ms, Scope::Everything).await;
    }
    match swept {
        Ok(report) if report == Report::default() => tracing::debug!("swept: nothing to remove"),
        Ok(Report { uploads, entries, orphans, bytes }) => {
            tracing::info!(uploads, entries, orphans, bytes, "swept");
        }
        Err(error) => tracing::error!(error = %chain(&error), "the sweep stopped; the next one goes on"),
    }
    let pressure = services.pressure.clone();
    // It only fails where the process ends.
    let _ = tokio::task::spawn_blocking(move || pressure.make_ballast()).await;
}

/// What a sweep looks at.
#[derive(Clone, Copy)]
enum Scope {
    Uploads,
    Everything,
}

/// Sweeps with a guest that lives only that long.
async fn sweep(
    policy: &Policy,
    services: &Arc<Services>,
    orphan_grace_ms: u64,
    scope: Scope,
) -> Result<Report, SweepError> {
    let guest = policy.start(services);
    let (sweeper, now_ms) = (Sweeper::new(services, &guest, orphan_grace_ms), services.clock.now_ms());
    match scope {
        Scope::Uploads => sweeper.sweep_uploads_once(now_ms).await,
        Scope::Everything => sweeper.sweep_once(now_ms).await,
    }
}
