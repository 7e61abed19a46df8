//! Assembles the parts: from a configuration to a running server.

mod claim;
mod database;
mod storage;

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use aws_lc_rs::rand::SystemRandom;
use http::Uri;
use rustls::ClientConfig;

use self::{claim::StartClaim, database::open_index, storage::open_storage};
use crate::{
    BUILT_IN_POLICY,
    auth::{AuthSetupError, TokenVerifier, UrlSigner},
    clock::Clock,
    config::{Config, DatabaseDriver, Secret, Settings},
    descriptors::{Shares, TooFew, Wanted, raise_limit},
    engine::{Engine, InstanceLimits, LoadError, Policy},
    index::{Index, IndexError},
    message::QuotaUsage,
    net::{Fetch, HttpFetch, Proxies, TlsError, Upstream, client_config},
    pressure::Pressure,
    retention::{DurabilityTracker, UsageTracker},
    server::{Capacity, ConnectionUsage, Listener, Running, Server, ServerBounds, ServerSettings},
    services::{PolicySettings, Services},
    storage::StorageError,
    sweep::{Janitor, Schedule, Sweeps},
};

/// Most requests at the upstream at once.
const MAX_FORWARDS: usize = 256;
/// How often last-used times are persisted.
const RECENCY_INTERVAL: Duration = Duration::from_secs(10);
/// How long the last writes may take at the end, when a database or bucket hangs.
const LAST_WRITES: Duration = Duration::from_millis(2500);
/// The name under which the index keeps the key of signed URLs.
const URL_SECRET: &str = "url-signing-key";
const SECRET_BYTES: usize = 32;
const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory cannot be created or opened.
    #[error("{path}: cannot be used")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process uses the data directory.
    #[error(
        "{0}: another Larder is using this data directory; stop it first, or choose another one (LARDER_DATA)"
    )]
    Locked(PathBuf),
    /// The address cannot be bound.
    #[error("cannot listen on {address} (LARDER_LISTEN)")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The policy cannot be used.
    #[error("the policy cannot be loaded")]
    Policy(#[from] LoadError),
    /// The storage cannot be used.
    #[error("the storage cannot be used")]
    Storage(#[from] StorageError),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Index(#[from] IndexError),
    /// The database's file cannot be used.
    #[error("{path}: the database cannot be used")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: IndexError,
    },
    /// The driver was not compiled in.
    #[error(
        "this program was built without the driver `{driver}`: `make build` builds one that has all of them (target/release/larder)"
    )]
    NotBuilt {
        /// Which.
        driver: &'static str,
    },
    /// The disk is too full to start.
    #[error("the disk is full: cannot open {path}; free some MiB")]
    Full {
        /// What needs it.
        path: PathBuf,
    },
    /// Tokens or URLs cannot be verified.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running server. Dropping it does not stop it: call [`Larder::stop`].
pub struct Larder {
    running: Running,
    janitor: Janitor,
    shares: Shares,
    _lock: File,
}

impl Larder {
    /// Returns the address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Returns how the process's file descriptors are divided up.
    #[must_use]
    pub fn shares(&self) -> Shares {
        self.shares
    }

    /// Returns the usage of each quota for requests.
    #[must_use]
    pub fn usage(&self) -> Vec<QuotaUsage> {
        self.running.usage()
    }

    /// Returns how much of the limits on connections and requests is in use.
    #[must_use]
    pub fn connections(&self) -> ConnectionUsage {
        self.running.connections()
    }

    /// Lets requests in flight finish within the configured limit, and persists what is in memory,
    /// for up to 2.5 s. See [`Running::stop`] for connections that arrive meanwhile.
    pub fn stop(self) {
        self.running.stop();
        let (ended, end) = mpsc::channel();
        let janitor = self.janitor;
        let last = std::thread::Builder::new().name("larder-last-writes".to_owned()).spawn(move || {
            janitor.stop();
            let _ = ended.send(());
        });
        if last.is_ok() && end.recv_timeout(LAST_WRITES) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("last-used times and durability could not be persisted in time");
        }
    }
}

/// Starts a server. It accepts connections when this returns; earlier ones wait in the backlog.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: &Config) -> Result<Larder, StartError> {
    start_with(config, None).await
}

/// As [`start`], on the listener that a supervisor opened, if there is one.
///
/// # Errors
/// See [`StartError`].
pub async fn start_with(config: &Config, inherited: Option<TcpListener>) -> Result<Larder, StartError> {
    let settings = &config.settings;
    let listen = settings.server.listen;
    let shares = Shares::divide(raise_limit(), wanted(config))?;
    let claim = StartClaim::begin(&settings.data, listen, inherited)?;
    // Before the wait: a new policy takes a second or more to compile.
    let policy = load_policy(settings)?;
    let (lock, listener) = claim.complete(&settings.data, listen).await?;
    let server = server(settings, shares, listener)?;
    let services = services(settings).await?;
    policy.probe(&services.for_thread()).await?;
    services.durability.recover(&*services.index, services.clock.now_ms()).await?;
    let grace_ms = settings.retention.orphan_grace_hours.saturating_mul(HOUR_MS);
    storage::claim_storage(&services, config.adopt_storage, grace_ms).await;
    let janitor =
        Janitor::start(policy.clone(), services.clone(), schedule(settings)).map_err(StartError::Thread)?;
    let running = server.start(&policy, &services).map_err(StartError::Thread)?;
    Ok(Larder { running, janitor, shares, _lock: lock })
}

fn wanted(config: &Config) -> Wanted {
    let settings = &config.settings;
    let database = match settings.database.driver {
        DatabaseDriver::Sqlite => 0,
        DatabaseDriver::Postgres | DatabaseDriver::Mysql => settings.database.max_connections,
    };
    Wanted {
        connections: settings.server.max_connections,
        may_be_fewer: !config.is_set("server.max_connections"),
        threads: settings.server.thread_count(),
        database,
    }
}

fn server(settings: &Settings, shares: Shares, listener: Listener) -> Result<Server, StartError> {
    let (server, guest) = (&settings.server, InstanceLimits::from(&settings.policy));
    let per_client = match server.max_connections_per_client {
        0 => shares.connections.div_ceil(2),
        count => count.min(shares.connections),
    };
    let settings = ServerSettings {
        listen: server.listen,
        data: settings.data.clone(),
        threads: server.thread_count(),
        base_url: server.base_url.clone(),
        trusted_proxies: server.trusted_proxies.clone(),
        bounds: ServerBounds {
            connections: shares.connections,
            connections_per_client: per_client,
            leaving: shares.leaving,
            requests: shares.requests,
            header_bytes: server.max_header_bytes,
            header_wait: Duration::from_millis(server.header_timeout_ms),
            keep_alive: Duration::from_millis(server.keep_alive_ms),
            idle: Duration::from_millis(server.idle_timeout_ms),
            drain: Duration::from_millis(server.shutdown_ms),
        },
        capacity: Capacity {
            guest_memory_bytes: guest.memory_bytes,
            guest_handles: guest.handles,
            connections: shares.connections,
            // Half of the requests: however many wait for the upstream, the cache is served.
            forwards: MAX_FORWARDS.min(shares.requests / 2),
        },
    };
    Server::new(settings, listener).map_err(|source| StartError::Listen { address: server.listen, source })
}

/// A path that `config` has resolved.
fn path_of(path: Option<&PathBuf>) -> PathBuf {
    path.cloned().unwrap_or_default()
}

async fn services(settings: &Settings) -> Result<Services, StartError> {
    let storage = open_storage(settings).await?;
    let pressure = pressure(settings);
    let index = open_index(settings, &pressure).await?;
    if settings.database.driver != DatabaseDriver::Sqlite && !storage.is_durable_at_once() {
        tracing::warn!(
            "the storage is a local folder, so this must be the only Larder on this database; replicas need a shared storage"
        );
    }
    let tls = Arc::new(client_config(settings.tls.ca_file.as_deref())?);
    let proxies = proxies(settings);
    if let Some(proxies) = proxies.describe() {
        tracing::info!(%proxies, no = settings.proxy.no, "outgoing requests use a proxy");
    }
    let fetch: Arc<dyn Fetch> = Arc::new(HttpFetch::new((*tls).clone(), &proxies));
    let durability = DurabilityTracker::new(DurabilityTracker::this_boot(), storage.is_durable_at_once());
    let policy_settings = policy_settings(settings);
    Ok(Services {
        tokens: Arc::new(TokenVerifier::new(&settings.auth, &fetch)?),
        signer: Arc::new(signer(settings, &*index).await?),
        usage: Arc::new(UsageTracker::new(policy_settings.unused_entry_ms)),
        durability: Arc::new(durability),
        pressure: Arc::new(pressure),
        clock: Clock::system(),
        settings: policy_settings,
        upstream: upstream(settings, tls, proxies),
        forwarder: None,
        storage,
        index,
    })
}

/// A database on this machine gets a reserve of disk space.
fn pressure(settings: &Settings) -> Pressure {
    match settings.database.driver {
        DatabaseDriver::Sqlite => Pressure::beside(&path_of(settings.database.sqlite.path.as_ref())),
        DatabaseDriver::Postgres | DatabaseDriver::Mysql => Pressure::new(),
    }
}

/// The signer of URLs, with the configured key, or with one that is made on the first start and
/// stored in the database.
async fn signer(settings: &Settings, index: &dyn Index) -> Result<UrlSigner, StartError> {
    let fresh: [u8; SECRET_BYTES] = aws_lc_rs::rand::generate(&SystemRandom::new())
        .map_err(|_| StartError::Thread(io::Error::other("the system has no random numbers")))?
        .expose();
    let kept = index.secret(URL_SECRET, &fresh).await?;
    Ok(UrlSigner::from_config(&settings.urls, &kept)?)
}

/// A number of which 0 means none.
fn some(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number > 0)
}

fn policy_settings(settings: &Settings) -> PolicySettings {
    let retention = &settings.retention;
    PolicySettings {
        upload_url_ms: settings.urls.upload_url_ms,
        download_url_ms: settings.urls.download_url_ms,
        idle_upload_ms: retention.idle_upload_ms,
        // Without sweeps nothing expires.
        unused_entry_ms: some(retention.unused_days)
            .filter(|_| !retention.disable)
            .map(|days| days.saturating_mul(DAY_MS)),
        max_entry_bytes: some(retention.max_entry_bytes),
        parallel_download_origin: settings.urls.parallel_download_url.clone(),
        direct_url_ms: direct_url_ms(settings),
    }
}

/// How long clients may use a URL of the storage itself; `None` without direct downloads.
fn direct_url_ms(settings: &Settings) -> Option<u64> {
    let downloads = &settings.downloads;
    downloads.direct.then(|| downloads.direct_url_minutes.saturating_mul(MINUTE_MS))
}

/// The proxies for outgoing requests.
fn proxies(settings: &Settings) -> Proxies {
    let exposed = |proxy: Option<&Secret>| proxy.map(|url| url.expose().to_owned());
    let proxy = &settings.proxy;
    Proxies::new(exposed(proxy.for_http()), exposed(proxy.for_https()), &proxy.no)
}

fn upstream(settings: &Settings, tls: Arc<ClientConfig>, proxies: Proxies) -> Option<Upstream> {
    let connect_timeout = Duration::from_millis(settings.upstream.connect_timeout_ms);
    let uri: Uri = settings.upstream.url.as_ref()?.parse().ok()?;
    let parts = uri.into_parts();
    Some(Upstream { scheme: parts.scheme?, authority: parts.authority?, connect_timeout, tls, proxies })
}

fn schedule(settings: &Settings) -> Schedule {
    let retention = &settings.retention;
    Schedule {
        recency: RECENCY_INTERVAL,
        sweeps: (!retention.disable).then(|| Sweeps {
            uploads: Duration::from_millis(retention.sweep_interval_ms),
            everything: Duration::from_millis(retention.full_sweep_hours.saturating_mul(HOUR_MS)),
        }),
        orphan_grace_ms: retention.orphan_grace_hours.saturating_mul(HOUR_MS),
    }
}

fn load_policy(settings: &Settings) -> Result<Policy, StartError> {
    let limits = InstanceLimits::from(&settings.policy);
    let cache = settings.data.join("compiled");
    let engine = Engine::start()?;
    let Some(file) = &settings.policy.component else {
        return Ok(engine.load(BUILT_IN_POLICY, Some(&cache), limits)?);
    };
    let component = fs::read(file).map_err(|source| StartError::Path { path: file.clone(), source })?;
    Ok(engine.load(&component, Some(&cache), limits)?)
}
