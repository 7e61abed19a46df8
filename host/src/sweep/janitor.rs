//! The janitor thread: persists last-used times, flushes new entries to disk, and sweeps on a
//! schedule.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    select,
    sync::watch,
    task::LocalSet,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until},
};

use super::{Report, SweepError, Sweeper};
use crate::{causes::chain, engine::Policy, index::IndexError, services::Services};

/// The intervals of the janitor's tasks.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Interval between writes of last-used times.
    pub recency: Duration,
    /// Intervals between sweeps; `None` disables them.
    pub sweeps: Option<Sweeps>,
    /// Minimum age of an orphan, in milliseconds.
    pub orphan_grace_ms: u64,
}

/// Intervals between sweeps.
#[derive(Clone, Copy, Debug)]
pub struct Sweeps {
    /// Sweeps of abandoned uploads only: each holds a slot and takes space.
    pub uploads: Duration,
    /// Full sweeps, which check each entry and each object. The first one runs ten minutes after
    /// the start, so that a server that restarts every day has them, too.
    pub everything: Duration,
}

/// Longest time from the start to the first full sweep.
const FIRST_FULL_SWEEP: Duration = Duration::from_secs(10 * 60);

/// Shortest pause between a sweep and the next one for a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(30);

/// A handle of the janitor thread.
pub struct Janitor {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Janitor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be created.
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

    /// Persists what is buffered in memory, and ends the thread.
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
        () = run_usage_writer(services, schedule.recency) => {}
        () = run_sweeps(policy, services, schedule) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    flush_usage(services).await;
    if let Err(error) = services.storage.settle().await {
        tracing::warn!(error = %chain(&error), "cannot persist staged blocks; those in memory are lost");
    }
    if let Err(error) = services.durability.flush_once(&*services.storage, &*services.index).await {
        tracing::warn!(error = %chain(&error), "cannot flush the last entries to disk");
    }
}

async fn run_usage_writer(services: &Services, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        flush_usage(services).await;
    }
}

async fn flush_usage(services: &Services) {
    if let Err(error) = services.usage.flush(&services.index).await {
        tracing::warn!(error = %chain(&error), "last-used times not persisted yet, retrying");
        if matches!(error, IndexError::NoSpace { .. }) {
            services.pressure.report();
        }
    }
}

async fn run_sweeps(policy: &Policy, services: &Arc<Services>, schedule: &Schedule) {
    let Some(sweeps) = schedule.sweeps else { return std::future::pending().await };
    let mut small = interval(sweeps.uploads);
    let mut full = interval_at(Instant::now() + FIRST_FULL_SWEEP.min(sweeps.everything), sweeps.everything);
    small.set_missed_tick_behavior(MissedTickBehavior::Delay);
    full.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut not_before = Instant::now();
    loop {
        let disk_is_full = async {
            sleep_until(not_before).await;
            services.pressure.wait().await;
        };
        let scope = select! {
            biased;
            () = disk_is_full => SweepScope::Full,
            _ = full.tick() => SweepScope::Full,
            _ = small.tick() => SweepScope::Uploads,
        };
        let began = Instant::now();
        sweep_and_log(policy, services, schedule.orphan_grace_ms, scope).await;
        // On a disk that stays full, sweeps take up to a tenth of the time.
        not_before = Instant::now() + FULL_DISK_PAUSE.max(began.elapsed() * 10);
    }
}

/// Sweeps and logs the result. If the disk of the index is full, releases the ballast and sweeps
/// again.
async fn sweep_and_log(policy: &Policy, services: &Arc<Services>, orphan_grace_ms: u64, scope: SweepScope) {
    let mut swept = sweep(policy, services, orphan_grace_ms, scope).await;
    if swept.as_ref().is_err_and(SweepError::is_no_space) && services.pressure.drop_ballast() {
        tracing::warn!("the disk of the database is full: releasing its reserve to free space");
        swept = sweep(policy, services, orphan_grace_ms, SweepScope::Full).await;
    }
    match swept {
        Ok(report) if report == Report::default() => tracing::debug!("sweep finished: nothing to delete"),
        Ok(Report { uploads, entries, orphans, bytes }) => {
            tracing::info!(uploads, entries, orphans, bytes, "sweep finished");
        }
        Err(error) => tracing::error!(error = %chain(&error), "the sweep failed; the next one continues"),
    }
    let pressure = services.pressure.clone();
    // Fails only at the end of the process.
    let _ = tokio::task::spawn_blocking(move || pressure.make_ballast()).await;
}

/// What a sweep covers.
#[derive(Clone, Copy)]
enum SweepScope {
    Uploads,
    Full,
}

/// Sweeps with a guest of its own, which ends with the sweep.
async fn sweep(
    policy: &Policy,
    services: &Arc<Services>,
    orphan_grace_ms: u64,
    scope: SweepScope,
) -> Result<Report, SweepError> {
    let guest = policy.start(services);
    let (sweeper, now_ms) = (Sweeper::new(services, &guest, orphan_grace_ms), services.clock.now_ms());
    match scope {
        SweepScope::Uploads => sweeper.sweep_uploads_once(now_ms).await,
        SweepScope::Full => sweeper.sweep_once(now_ms).await,
    }
}
