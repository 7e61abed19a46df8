//! A tenant: where its entries are, who may use them, and how long they stay.

use std::{io, sync::Arc, time::Duration};

use aws_lc_rs::rand::SystemRandom;
use larder_common::{TenantName, clock::Clock};
use larder_index::{Index, IndexError};
use larder_metrics::{MeasuredIndex, MeasuredStorage};
use larder_rules::Rules;
use larder_storage::Storage;
use parking_lot::Mutex;

use super::{
    DAY_MS, HOUR_MS, MINUTE_MS,
    database::open_index,
    metrics::{Observed, database_name, storage_name},
    orphan_grace_ms,
    outgoing::Outgoing,
    path_of,
    rules::asker,
    some,
    storage::{OwnStorages, open_storage},
};
use crate::{
    auth::{AccessRules, Authenticator, TokenVerifier, UrlSigner},
    capacity::{self, Capacity, CapacityState, DiskLimit, Limits, Refusals, Removals},
    config::{Config, DatabaseDriver, Digests, Settings, StorageDriver},
    disk_pressure::DiskPressure,
    error::StartError,
    history::History,
    net::{Fetch, HttpFetch},
    retention::{DurabilityTracker, NewDigests, RepositoryNames, UsageTracker},
    sweep::{Schedule, Sweeps},
    tenant::{PolicySettings, RulesFailures, SharedResources, Tenant},
    trace::{TraceFiles, Tracer},
    webhook::Webhooks,
};

/// How often last-used times are persisted.
const RECENCY_INTERVAL: Duration = Duration::from_secs(10);
/// The name under which the index keeps the key of signed URLs.
const URL_SECRET: &str = "url-signing-key";
const SECRET_BYTES: usize = 32;

/// What all tenants are made with.
pub(crate) struct Shared {
    outgoing: Outgoing,
    fetch: Arc<dyn Fetch>,
    pressure: Arc<DiskPressure>,
    /// Those of the tenant `default`, which make those of others.
    pub(super) storage: Arc<dyn Storage>,
    pub(super) index: Arc<dyn Index>,
    own_storages: Arc<OwnStorages>,
    /// The limit of the disk that the storage is on.
    disk: Option<Arc<DiskLimit>>,
    observed: Observed,
    /// Where traces are written, if they are.
    trace: Option<TraceFiles>,
}

impl Shared {
    /// Opens storage and index, unless the caller brings them.
    pub(crate) async fn open(
        config: &Config,
        storage: Option<Arc<dyn Storage>>,
        index: Option<Arc<dyn Index>>,
        observed: &Observed,
    ) -> Result<Self, StartError> {
        let settings = &config.settings;
        let names = (storage_name(settings, storage.is_some()), database_name(settings, index.is_some()));
        let outgoing = Outgoing::new(settings)?;
        if let Some(proxies) = outgoing.proxies.describe() {
            tracing::info!(%proxies, no = settings.proxy.no, "outgoing requests use a proxy");
        }
        let storage = match storage {
            Some(storage) => storage,
            None => open_storage(settings, &outgoing).await?,
        };
        let (index, pressure) = match index {
            Some(index) => (index, DiskPressure::new()),
            None => database(config, &*storage).await?,
        };
        let Observed { metrics, health } = observed;
        let storage = MeasuredStorage::around(storage, names.0, metrics, health);
        let index = MeasuredIndex::around(index, names.1, metrics, health);
        let fetch: Arc<dyn Fetch> = Arc::new(HttpFetch::new((*outgoing.tls).clone(), &outgoing.proxies));
        let own_storages = Arc::new(OwnStorages::new(settings.storage.buffer_bytes));
        let percent = some(settings.capacity.max_disk_percent);
        let disk = percent.filter(|_| !storage.is_durable_at_once());
        let disk = disk.map(|percent| Arc::new(DiskLimit::new(storage.clone(), percent)));
        let (pressure, observed) = (Arc::new(pressure), observed.clone());
        Ok(Self { outgoing, fetch, pressure, storage, index, own_storages, disk, observed, trace: None })
    }

    /// Has the events of all tenants written, if the settings say where.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(crate) fn trace(&mut self, settings: &Settings) -> Result<(), StartError> {
        let Some(dir) = &settings.trace.dir else { return Ok(()) };
        let files = TraceFiles::start(dir, settings.trace.max_bytes, settings.trace.files)
            .map_err(|source| StartError::Path { path: dir.clone(), source })?;
        self.trace = Some(files);
        Ok(())
    }

    /// Where traces are written, if they are.
    pub(crate) fn trace_files(&self) -> Option<TraceFiles> {
        self.trace.clone()
    }

    fn tracer(&self, tenant: &TenantName) -> Arc<Tracer> {
        Arc::new(Tracer::new(tenant, self.trace.clone()))
    }

    /// Opens the storage of a tenant: its own, where its settings say one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) async fn storage_of(
        &self,
        name: &TenantName,
        own: Option<&Settings>,
    ) -> Result<Arc<dyn Storage>, StartError> {
        match own {
            Some(settings) => {
                let storage = self.own_storages.open(name, settings, &self.outgoing).await?;
                // Of it the server's readiness does not depend.
                let health = larder_metrics::Health::default();
                let backend = storage_name(settings, false);
                Ok(MeasuredStorage::around(storage, backend, &self.observed.metrics, &health))
            }
            None => Ok(self.storage.tenant(name)?),
        }
    }

    /// Checks that a tenant's own storage can be opened as these settings say.
    pub(super) fn check_own_storage(&self, name: &TenantName, settings: &Settings) -> Result<(), StartError> {
        OwnStorages::check(settings)?;
        if self.storage.is_durable_at_once()
            && settings.storage.driver == StorageDriver::Filesystem
            && settings.database.driver != DatabaseDriver::Sqlite
        {
            tracing::warn!(tenant = %name, "its own storage is a local folder, so this must be the only Larder on this database");
        }
        Ok(())
    }

    /// Checks that tokens can be verified as these settings say.
    pub(super) fn check_tokens(&self, settings: &Settings) -> Result<(), StartError> {
        Ok(TokenVerifier::new(&settings.auth, &self.fetch).map(drop)?)
    }
}

/// Where the entries of a tenant are, and what is known of them in memory. It stays the same when the
/// tenant's settings change.
pub(super) struct Holdings {
    storage: Arc<dyn Storage>,
    index: Arc<dyn Index>,
    usage: Arc<UsageTracker>,
    names: Arc<RepositoryNames>,
    durability: Arc<DurabilityTracker>,
    capacity: Arc<CapacityState>,
    removals: Arc<Removals>,
    refusals: Arc<Refusals>,
    digests: Arc<NewDigests>,
    trace: Arc<Tracer>,
    history: Arc<History>,
    /// The key of its signed URLs, from when it is opened until it is put together.
    url_secret: Mutex<Option<Vec<u8>>>,
    /// The storage is the tenant's own.
    is_apart: bool,
}

impl Holdings {
    pub(super) fn new(settings: &Settings, storage: Arc<dyn Storage>, index: Arc<dyn Index>) -> Self {
        let durability = DurabilityTracker::new(DurabilityTracker::this_boot(), storage.is_durable_at_once());
        let usage = Arc::new(UsageTracker::new(unused_entry_ms(settings)));
        Self {
            storage,
            index,
            usage,
            names: Arc::default(),
            durability: Arc::new(durability),
            capacity: Arc::default(),
            removals: Arc::default(),
            refusals: Arc::default(),
            digests: Arc::default(),
            trace: Arc::default(),
            history: Arc::new(history(settings)),
            url_secret: Mutex::default(),
            is_apart: false,
        }
    }

    /// Opens those of one of several tenants, and deletes what a loss of power may have damaged.
    /// `has_own_storage`: where the settings say, and not in the server's.
    pub(super) async fn of_tenant(
        name: &TenantName,
        settings: &Settings,
        has_own_storage: bool,
        shared: &Shared,
    ) -> Result<Self, StartError> {
        let storage = shared.storage_of(name, Some(settings).filter(|_| has_own_storage)).await?;
        let index = shared.index.tenant(name)?;
        let trace = shared.tracer(name);
        let holdings = Self { trace, is_apart: has_own_storage, ..Self::new(settings, storage, index) };
        count_apart(&*holdings.index, has_own_storage).await?;
        // The key is written while the rest is looked up: the client of a first request waits for both.
        let recover = holdings.durability.recover(&*holdings.index, Clock::system().now_ms());
        let recover = async { Ok::<_, StartError>(recover.await?) };
        let (secret, ()) = tokio::try_join!(url_secret(&*holdings.index), recover)?;
        *holdings.url_secret.lock() = Some(secret);
        Ok(holdings)
    }
}

/// The tenant `default`, with these rules. `authenticator` is the caller's, where it brings one.
pub(crate) async fn tenant(
    settings: &Settings,
    shared: &Shared,
    authenticator: Option<Arc<dyn Authenticator>>,
    rules: Option<Arc<Rules>>,
) -> Result<Tenant, StartError> {
    let trace = shared.tracer(&TenantName::default());
    let holdings =
        Holdings { trace, ..Holdings::new(settings, shared.storage.clone(), shared.index.clone()) };
    let tokens = authenticator.map(TokenVerifier::of_caller);
    // What `default` may have stored is what the server may.
    assemble(settings, shared, &holdings, Given { tokens, rules, ..Given::default() }).await
}

/// What a tenant is put together with, beside its settings.
#[derive(Default)]
pub(super) struct Given {
    /// Verifies its tokens; `None`: as its settings say.
    pub(super) tokens: Option<TokenVerifier>,
    /// Its rules, if it has any.
    pub(super) rules: Option<Arc<Rules>>,
    /// Those in the shadow. Of the tenant `default` they are put there by their exchange.
    pub(super) shadow: Option<Arc<Rules>>,
    /// What it shares with others.
    pub(super) resources: Option<SharedResources>,
    /// The most bytes that it may have stored; 0: any.
    pub(super) max_bytes: u64,
}

/// Puts a tenant together.
pub(super) async fn assemble(
    settings: &Settings,
    shared: &Shared,
    holdings: &Holdings,
    given: Given,
) -> Result<Tenant, StartError> {
    let Given { tokens, rules, shadow, resources, max_bytes } = given;
    let rules = asker(rules, shadow, settings.rules.shadow_percent());
    let on_failure = settings.rules.on_failure;
    let tokens = match tokens {
        Some(tokens) => tokens,
        None => TokenVerifier::new(&settings.auth, &shared.fetch)?,
    };
    let Holdings { storage, index, usage, names, durability, removals, refusals, trace, history, .. } =
        holdings;
    Ok(Tenant {
        tokens: Arc::new(tokens.with_rules(AccessRules::new(
            rules.clone(),
            on_failure.access,
            trace.clone(),
        ))),
        rules,
        rules_failures: Arc::new(RulesFailures::new(on_failure)),
        signer: Arc::new(signer(settings, holdings).await?),
        usage: usage.clone(),
        names: names.clone(),
        durability: durability.clone(),
        capacity: capacity(settings, shared, holdings, max_bytes).await,
        removals: removals.clone(),
        refusals: refusals.clone(),
        digests: records_digests(settings).then(|| holdings.digests.clone()),
        pressure: shared.pressure.clone(),
        clock: Clock::system(),
        settings: policy_settings(settings),
        departed_entries: settings.retention.departed_entries,
        upstream: shared.outgoing.upstream(settings),
        webhooks: Webhooks::new(settings).map(Arc::new),
        trace: trace.clone(),
        metrics: shared.observed.metrics.clone(),
        history: history.clone(),
        shared: resources,
        storage: storage.clone(),
        index: index.clone(),
    })
}

fn history(settings: &Settings) -> History {
    History::new(&settings.history, settings.metrics.repositories, Clock::system())
}

/// Returns what limits the storage of a tenant; `None` where nothing does.
async fn capacity(
    settings: &Settings,
    shared: &Shared,
    holdings: &Holdings,
    max_bytes: u64,
) -> Option<Arc<Capacity>> {
    let limits = Limits::new(settings, max_bytes, holdings.is_apart);
    let disk = shared.disk.clone().filter(|_| !holdings.is_apart);
    if !limits.is_any() && disk.is_none() {
        return None;
    }
    if !capacity::counts(&*holdings.index).await {
        tracing::error!("the limits of `capacity` have no effect: this index does not count what is stored");
        return None;
    }
    Some(Arc::new(Capacity { limits, shared: holdings.capacity.clone(), disk }))
}

/// Tells the index whether a tenant counts as part of the server.
async fn count_apart(index: &dyn Index, is_apart: bool) -> Result<(), IndexError> {
    match index.set_counted_apart(is_apart).await {
        Err(IndexError::Unsupported(_)) => Ok(()),
        counted => counted,
    }
}

/// Opens the configured database, and what reports that its disk is full.
async fn database(
    config: &Config,
    storage: &dyn Storage,
) -> Result<(Arc<dyn Index>, DiskPressure), StartError> {
    let settings = &config.settings;
    let pressure = pressure(settings);
    let index = open_index(config, &pressure).await?;
    if settings.database.driver != DatabaseDriver::Sqlite && !storage.is_durable_at_once() {
        tracing::warn!(
            "the storage is a local folder, so this must be the only Larder on this database; replicas need a shared storage"
        );
    }
    Ok((index, pressure))
}

/// A database on this machine gets a reserve of disk space.
fn pressure(settings: &Settings) -> DiskPressure {
    match settings.database.driver {
        DatabaseDriver::Sqlite => DiskPressure::beside(&path_of(settings.database.sqlite.path.as_ref())),
        DatabaseDriver::Postgres | DatabaseDriver::Mysql => DiskPressure::new(),
    }
}

/// The signer of URLs, with the configured key, or with one that is made on the first start and
/// stored in the database.
async fn signer(settings: &Settings, holdings: &Holdings) -> Result<UrlSigner, StartError> {
    let known = holdings.url_secret.lock().take();
    let kept = match known {
        Some(kept) => kept,
        None => url_secret(&*holdings.index).await?,
    };
    Ok(UrlSigner::from_config(&settings.urls, &kept)?)
}

/// Reads the key of a tenant's URLs, which is made when it is first asked for.
async fn url_secret(index: &dyn Index) -> Result<Vec<u8>, StartError> {
    let fresh: [u8; SECRET_BYTES] = aws_lc_rs::rand::generate(&SystemRandom::new())
        .map_err(|_| StartError::Thread(io::Error::other("the system has no random numbers")))?
        .expose();
    Ok(index.secret(URL_SECRET, &fresh).await?)
}

/// Whether what is stored is hashed.
fn records_digests(settings: &Settings) -> bool {
    match settings.storage.digests {
        Digests::Auto => larder_storage::has_sha256_instructions(),
        Digests::On => true,
        Digests::Off => false,
    }
}

fn policy_settings(settings: &Settings) -> PolicySettings {
    let retention = &settings.retention;
    PolicySettings {
        upload_url_ms: settings.urls.upload_url_ms,
        download_url_ms: settings.urls.download_url_ms,
        idle_upload_ms: retention.idle_upload_ms,
        unused_entry_ms: unused_entry_ms(settings),
        never_used_ms: days_ms(settings, retention.never_used_days),
        max_age_ms: days_ms(settings, retention.max_age_days),
        // Without sweeps nothing is deleted.
        keep_newest: if retention.disable { Vec::new() } else { retention.keep_newest.clone() },
        barred_ms: some(retention.barred_hours).map(|hours| hours.saturating_mul(HOUR_MS)),
        max_entry_bytes: some(retention.max_entry_bytes),
        parallel_download_origin: settings.urls.parallel_download_url.clone(),
        direct_url_ms: direct_url_ms(settings),
    }
}

fn unused_entry_ms(settings: &Settings) -> Option<u64> {
    days_ms(settings, settings.retention.unused_days)
}

/// Days after which entries are deleted. Without sweeps nothing expires.
fn days_ms(settings: &Settings, days: u64) -> Option<u64> {
    some(days).filter(|_| !settings.retention.disable).map(|days| days.saturating_mul(DAY_MS))
}

/// How long clients may use a URL of the storage itself; `None` without direct downloads.
fn direct_url_ms(settings: &Settings) -> Option<u64> {
    let downloads = &settings.downloads;
    downloads.direct.then(|| downloads.direct_url_minutes.saturating_mul(MINUTE_MS))
}

/// When what is done.
pub(crate) fn schedule(settings: &Settings) -> Schedule {
    let retention = &settings.retention;
    Schedule {
        recency: RECENCY_INTERVAL,
        sweeps: (!retention.disable).then(|| Sweeps {
            uploads: Duration::from_millis(retention.sweep_interval_ms),
            everything: Duration::from_millis(retention.full_sweep_hours.saturating_mul(HOUR_MS)),
        }),
        orphan_grace_ms: orphan_grace_ms(settings),
    }
}
