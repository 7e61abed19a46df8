//! The janitor thread: persists last-used times, flushes new entries to disk, and sweeps on a
//! schedule.

use std::{collections::HashMap, io, sync::Arc, thread::JoinHandle, time::Duration};

use larder_common::{TenantName, causes::chain};
use larder_index::{Index, IndexError, UploadId};
use larder_metrics::{Health, SweepStage};
use tokio::{
    select,
    sync::watch,
    task::LocalSet,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout},
};
use tracing::Instrument;

use super::{
    Ages, Ownership, Report, SweepError, SweepRequests, Sweeper,
    other_tenants::{OpenTenants, OtherTenants},
};
use crate::{
    capacity::{
        Cleaner, Evictor,
        server_room::{self, Lodger},
    },
    engine::PolicyInForce,
    exchange::{Exchange, PolicyExchange, RulesExchange, ShadowExchange, run_reports},
    tenant::Tenant,
    versions::Versions,
};

/// The intervals of the janitor's tasks.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// Interval between writes of last-used times.
    pub recency: Duration,
    /// Intervals between sweeps; `None` disables them.
    pub sweeps: Option<Sweeps>,
    /// Minimum age of an orphan, in milliseconds.
    pub orphan_grace_ms: u64,
}

/// Intervals between sweeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweeps {
    /// Sweeps of abandoned uploads only: each holds a slot and takes space.
    pub uploads: Duration,
    /// Full sweeps, which check each entry and each object. The first one runs ten minutes after
    /// the start, so that a server that restarts every day has them, too.
    pub everything: Duration,
}

/// Longest time from the start to the first full sweep.
const FIRST_FULL_SWEEP: Duration = Duration::from_secs(10 * 60);

/// Time between two looks for removals that were interrupted. Longer than any removal takes.
const CLEANING: Duration = Duration::from_secs(5 * 60);

/// Shortest pause between a sweep and the next one for a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(30);

/// Time between two looks whether database and storage answer, where no call did meanwhile.
const PROBING: Duration = Duration::from_secs(10);

/// A handle of the janitor thread.
pub(crate) struct Janitor {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Whose entries a janitor takes care of.
pub(crate) struct JanitorWork {
    /// The tenant `default`, and its policy.
    pub(crate) policy: PolicyInForce,
    /// Exchanges that policy.
    pub(crate) exchange: Exchange<PolicyExchange>,
    pub(crate) rules_exchange: Exchange<RulesExchange>,
    /// Exchanges the rules in the shadow, and where what they answer is written down.
    pub(crate) shadow: (Exchange<ShadowExchange>, Versions),
    pub(crate) tenant: Arc<Tenant>,
    /// The others; `None` where it is the only one.
    pub(crate) others: Option<OtherTenants>,
    pub(crate) schedule: Schedule,
    /// Sweeps on demand.
    pub(crate) requests: SweepRequests,
    /// Learns whether database and storage answer.
    pub(crate) health: Arc<Health>,
}

impl Janitor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be created.
    pub(crate) fn start(work: JanitorWork) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
        let thread = std::thread::Builder::new().name("larder-janitor".into()).spawn(move || {
            LocalSet::new().block_on(&runtime, run(work, stopped));
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Persists what is buffered in memory, and ends the thread.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

async fn run(work: JanitorWork, mut stopped: watch::Receiver<bool>) {
    let JanitorWork {
        policy,
        exchange,
        rules_exchange,
        shadow: (shadow, shadow_versions),
        tenant,
        others,
        schedule,
        mut requests,
        health,
    } = work;
    let (others, made) = OpenTenants::new(others);
    let flushing = tenant.durability.run_flusher(tenant.storage.clone(), tenant.index.clone());
    select! {
        () = flushing => {}
        () = run_usage_writer(&tenant, &others, schedule.recency) => {}
        () = run_sweeps(&policy, &tenant, &others, &schedule, &mut requests) => {}
        () = run_cleaners(&tenant, &others) => {}
        () = run_evictor(&policy, &tenant) => {}
        () = run_probes(&tenant, &health) => {}
        () = run_server_evictor(&policy, &tenant, &others) => {}
        () = others.follow(made) => {}
        () = others.watch() => {}
        () = exchange.run() => {}
        () = rules_exchange.run() => {}
        () = shadow.run() => {}
        () = run_reports(&tenant.rules, &shadow_versions) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    persist(&tenant).await;
    for tenant in others.open() {
        persist(&tenant).await;
    }
}

/// Persists what is buffered in memory.
pub(super) async fn persist(tenant: &Tenant) {
    flush_usage(tenant).await;
    if let Err(error) = tenant.history.flush_all(&*tenant.index).await {
        tracing::warn!(error = %chain(&error), "cannot persist the last minute of the history");
    }
    if let Err(error) = tenant.storage.settle().await {
        tracing::warn!(error = %chain(&error), "cannot persist staged blocks; those in memory are lost");
    }
    if let Err(error) = tenant.durability.flush_once(&*tenant.storage, &*tenant.index).await {
        tracing::warn!(error = %chain(&error), "cannot flush the last entries to disk");
    }
}

async fn run_usage_writer(tenant: &Tenant, others: &OpenTenants, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        flush_usage(tenant).await;
        for tenant in others.open() {
            flush_usage(&tenant).await;
        }
    }
}

/// Makes room for the saves of the tenant `default`.
async fn run_evictor(policy: &PolicyInForce, tenant: &Arc<Tenant>) {
    match Evictor::of(policy, tenant) {
        Some(evictor) => evictor.run().await,
        None => std::future::pending().await,
    }
}

/// Asks database and storage for something small, unless they have answered a moment ago.
async fn run_probes(tenant: &Tenant, health: &Health) {
    let mut ticks = interval(PROBING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // No upload has this number: a look by the primary key.
        let database = async {
            if !health.has_database_answered(PROBING) {
                let answer = timeout(PROBING, tenant.index.get_upload_by_id(UploadId(0))).await;
                if matches!(answer, Ok(Ok(_))) {
                    health.database_answered();
                }
            }
        };
        let storage = async {
            if !health.has_storage_answered(PROBING) {
                let answer = timeout(PROBING, tenant.storage.identity()).await;
                if matches!(answer, Ok(Ok(_))) {
                    health.storage_answered();
                }
            }
        };
        tokio::join!(database, storage);
    }
}

/// Keeps the storage that tenants share below its limit.
async fn run_server_evictor(policy: &PolicyInForce, tenant: &Arc<Tenant>, others: &OpenTenants) {
    let mut ticks = interval(server_room::LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let open: Vec<Arc<Tenant>> = others.open().into_iter().chain([tenant.clone()]).collect();
        let relieved = async {
            let Some(surplus) = server_room::surplus(&open).await? else { return Ok(()) };
            server_room::relieve(surplus, lodgers(policy, tenant, others).await?).await;
            Ok::<_, IndexError>(())
        };
        if let Err(error) = relieved.await {
            tracing::error!(error = chain(&error), "cannot make room in the server");
        }
    }
}

/// Returns all who have something in the storage that tenants share.
async fn lodgers(
    policy: &PolicyInForce,
    tenant: &Arc<Tenant>,
    others: &OpenTenants,
) -> Result<Vec<Lodger>, IndexError> {
    let mut lodgers = vec![(policy.clone(), tenant.clone())];
    for registered in others.all_with_rows(&*tenant.index).await? {
        match registered.tenant().await {
            Ok(tenant) => lodgers.push((registered.policy.clone(), tenant.clone())),
            Err(error) => {
                tracing::error!(tenant = %registered.name, error = chain(&error), "a tenant cannot be opened");
            }
        }
    }
    lodgers.retain(|(_, tenant)| server_room::is_lodger(tenant));
    Ok(lodgers)
}

/// Finishes removals that a crash has interrupted, in the whole server.
async fn run_cleaners(tenant: &Arc<Tenant>, others: &OpenTenants) {
    let mut ticks = interval(CLEANING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut own, mut of_others) = (Cleaner::new(), HashMap::<TenantName, Cleaner>::new());
    loop {
        ticks.tick().await;
        clean(&mut own, tenant).await;
        // What fails is logged by the next sweep.
        for registered in others.all_with_rows(&*tenant.index).await.unwrap_or_default() {
            if let Ok(tenant) = registered.tenant().await {
                let cleaner = of_others.entry(registered.name.clone()).or_insert_with(Cleaner::new);
                clean(cleaner, tenant).await;
            }
        }
    }
}

async fn clean(cleaner: &mut Cleaner, tenant: &Tenant) {
    match cleaner.clean(&*tenant.storage, &*tenant.index).await {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(bytes, "finished removals that were interrupted"),
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot finish interrupted removals yet, retrying");
        }
    }
}

async fn flush_usage(tenant: &Tenant) {
    if let Err(error) = tenant.usage.flush(&tenant.index).await {
        tracing::warn!(error = %chain(&error), "last-used times not persisted yet, retrying");
        if matches!(error, IndexError::NoSpace { .. }) {
            tenant.pressure.report();
        }
    }
    if let Err(error) = tenant.removals.flush(&*tenant.index).await {
        tracing::warn!(error = %chain(&error), "what was removed is still counted; the cleaner tries again");
    }
    if let Err(error) = tenant.names.flush(&*tenant.index).await {
        tracing::warn!(error = %chain(&error), "names of repositories not persisted yet, retrying");
    }
    if let Err(error) = tenant.history.flush(&*tenant.index).await {
        tracing::warn!(error = %chain(&error), "history not persisted yet, retrying");
    }
}

async fn run_sweeps(
    policy: &PolicyInForce,
    tenant: &Arc<Tenant>,
    others: &OpenTenants,
    schedule: &Schedule,
    requests: &mut SweepRequests,
) {
    let Some(sweeps) = schedule.sweeps else {
        requests.close();
        // Who asked before is told that nobody answers.
        drop(requests.waiting());
        return std::future::pending().await;
    };
    let mut small = interval(sweeps.uploads);
    let mut full = interval_at(Instant::now() + FIRST_FULL_SWEEP.min(sweeps.everything), sweeps.everything);
    small.set_missed_tick_behavior(MissedTickBehavior::Delay);
    full.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut not_before = Instant::now();
    loop {
        let disk_is_full = async {
            sleep_until(not_before).await;
            tenant.pressure.wait().await;
        };
        let mut asked = Vec::new();
        let scope = select! {
            biased;
            () = disk_is_full => SweepScope::Full,
            request = requests.next() => {
                asked.push(request);
                asked.extend(requests.waiting());
                SweepScope::Full
            }
            _ = full.tick() => SweepScope::Full,
            _ = small.tick() => SweepScope::Uploads,
        };
        let began = Instant::now();
        if matches!(scope, SweepScope::Full) {
            count_again(&*tenant.index).await;
        }
        let mut failure = sweep_and_log(policy, tenant, schedule.orphan_grace_ms, scope).await;
        let of_others = sweep_others(&*tenant.index, others, schedule.orphan_grace_ms, scope).await;
        failure = failure.or(of_others);
        if matches!(scope, SweepScope::Full) {
            requests.note(tenant.clock.now_ms(), failure.clone());
        }
        for request in asked {
            // Who asked may be gone.
            let _ = request.send(failure.is_none());
        }
        // On a disk that stays full, sweeps take up to a tenth of the time.
        not_before = Instant::now() + FULL_DISK_PAUSE.max(began.elapsed() * 10);
    }
}

/// Counts again what is stored, in case a server of an older release has changed the database.
async fn count_again(index: &dyn Index) {
    match index.recount().await {
        Ok(0) | Err(IndexError::Unsupported(_)) => {}
        Ok(wrong) => tracing::warn!(sums = wrong, "what is stored was counted wrong, and is right again"),
        Err(error) => tracing::warn!(error = chain(&error), "cannot count again what is stored"),
    }
}

/// Sweeps what the other tenants have, one after the other.
async fn sweep_others(
    index: &dyn Index,
    others: &OpenTenants,
    orphan_grace_ms: u64,
    scope: SweepScope,
) -> Option<String> {
    let with_rows = match others.all_with_rows(index).await {
        Ok(tenants) => tenants,
        Err(error) => {
            tracing::error!(error = chain(&error), "the tenants cannot be swept; the next sweep tries again");
            return Some(chain(&error).to_string());
        }
    };
    let mut failure = None;
    for registered in with_rows {
        let tenant = match registered.tenant().await {
            Ok(tenant) => tenant,
            Err(error) => {
                tracing::error!(tenant = %registered.name, error = chain(&error), "a tenant cannot be swept; the next sweep tries again");
                failure = Some(chain(&error).to_string());
                continue;
            }
        };
        if matches!(scope, SweepScope::Full) {
            let ages = Ages::new(tenant.clock.now_ms(), orphan_grace_ms);
            if let Err(error) = Ownership::determine(&*tenant.storage, &*tenant.index, ages).await {
                tracing::warn!(tenant = %registered.name, error = chain(&error), "cannot check whether the objects belong to this database");
            }
        }
        let named = tracing::error_span!("tenant", name = %registered.name);
        let swept = sweep_and_log(&registered.policy, tenant, orphan_grace_ms, scope).instrument(named).await;
        failure = swept.or(failure);
    }
    failure
}

/// Sweeps and logs the result. If the disk of the index is full, releases the ballast and sweeps
/// again. Returns why it failed, if it did.
async fn sweep_and_log(
    policy: &PolicyInForce,
    tenant: &Arc<Tenant>,
    orphan_grace_ms: u64,
    scope: SweepScope,
) -> Option<String> {
    let began = Instant::now();
    let mut swept = sweep(policy, tenant, orphan_grace_ms, scope).await;
    if swept.as_ref().is_err_and(SweepError::is_no_space) && tenant.pressure.drop_ballast() {
        tracing::warn!("the disk of the database is full: releasing its reserve to free space");
        swept = sweep(policy, tenant, orphan_grace_ms, SweepScope::Full).await;
    }
    let failure = swept.as_ref().err().map(|error| chain(error).to_string());
    let stage = match scope {
        SweepScope::Uploads => SweepStage::Uploads,
        SweepScope::Full => SweepStage::Full,
    };
    tenant.metrics.count_sweep(stage, swept.is_ok(), began.elapsed(), tenant.clock.now_ms());
    if let Ok(Report { uploads, orphans, bytes, entries: _ }) = swept {
        tenant.metrics.count_swept(uploads, orphans, bytes);
    }
    match swept {
        Ok(report) if report == Report::default() => tracing::debug!("sweep finished: nothing to delete"),
        Ok(Report { uploads, entries, orphans, bytes }) => {
            tracing::info!(uploads, entries, orphans, bytes, "sweep finished");
        }
        Err(error) => tracing::error!(error = %chain(&error), "the sweep failed; the next one continues"),
    }
    let pressure = tenant.pressure.clone();
    // Fails only at the end of the process.
    let _ = tokio::task::spawn_blocking(move || pressure.make_ballast()).await;
    failure
}

/// What a sweep covers.
#[derive(Clone, Copy)]
enum SweepScope {
    Uploads,
    Full,
}

/// Sweeps with a guest of its own, which ends with the sweep.
async fn sweep(
    policy: &PolicyInForce,
    tenant: &Arc<Tenant>,
    orphan_grace_ms: u64,
    scope: SweepScope,
) -> Result<Report, SweepError> {
    let guest = policy.current().start(tenant);
    let (sweeper, now_ms) = (Sweeper::new(tenant, &guest, orphan_grace_ms), tenant.clock.now_ms());
    match scope {
        SweepScope::Uploads => sweeper.sweep_uploads_once(now_ms).await,
        SweepScope::Full => sweeper.sweep_once(now_ms).await,
    }
}
