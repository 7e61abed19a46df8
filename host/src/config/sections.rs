//! The settings, section by section, and their defaults. The same names as in the file;
//! `examples/larder.toml` explains each, and a test holds the two together.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use ipnet::IpNet;
use larder_common::facts::CLAIMS;
use serde::{Deserialize, Serialize};

use super::{
    CapacityConfig, Database, DatabaseDriver, HistoryConfig, IssuerConfig, ListenAddress, ListenerTls,
    Management, MetricsConfig, OtlpConfig, Proxy, RulesConfig, SocketMode, SslMode, TraceConfig, listen,
    networks, optional, secret,
    secret::Secret,
    storage::{Downloads, Storage},
    tenants::Tenants,
};
use crate::telemetry::LogFormat;

/// The issuer of github.com, which is trusted unless something else is configured.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The data directory.
    pub data: PathBuf,
    /// The listener.
    pub server: ServerConfig,
    /// The storage of objects.
    pub storage: Storage,
    /// Direct downloads from the storage.
    pub downloads: Downloads,
    /// The database of the index.
    pub database: Database,
    /// The service for requests that are not for the cache.
    pub upstream: UpstreamConfig,
    /// Verification of tokens.
    pub auth: Auth,
    /// The signed URLs.
    pub urls: Urls,
    /// The guest.
    pub policy: PolicyConfig,
    /// Rules of the operator.
    pub rules: RulesConfig,
    /// What is deleted, and when.
    pub retention: Retention,
    /// How much may be stored.
    pub capacity: CapacityConfig,
    /// What the platform reports.
    pub webhooks: Webhooks,
    /// The management API.
    pub management: Management,
    /// The log.
    pub log: Log,
    /// What is counted.
    pub metrics: MetricsConfig,
    /// What became of requests, in files.
    pub trace: TraceConfig,
    /// What is kept of what was counted.
    pub history: HistoryConfig,
    /// Where traces and metrics are sent.
    pub otlp: OtlpConfig,
    /// Outgoing TLS.
    pub tls: Tls,
    /// Outgoing proxies.
    pub proxy: Proxy,
    /// Several tenants in one server.
    pub tenants: Tenants,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "./data".into(),
            server: ServerConfig::default(),
            storage: Storage::default(),
            downloads: Downloads::default(),
            database: Database::default(),
            upstream: UpstreamConfig::default(),
            auth: Auth::default(),
            urls: Urls::default(),
            policy: PolicyConfig::default(),
            rules: RulesConfig::default(),
            retention: Retention::default(),
            capacity: CapacityConfig::default(),
            webhooks: Webhooks::default(),
            management: Management::default(),
            log: Log::default(),
            metrics: MetricsConfig::default(),
            trace: TraceConfig::default(),
            history: HistoryConfig::default(),
            otlp: OtlpConfig::default(),
            tls: Tls::default(),
            proxy: Proxy::default(),
            tenants: Tenants::default(),
        }
    }
}

/// The listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port, or a Unix socket; a host name in the file or the variable is looked up when
    /// the configuration is read.
    pub listen: ListenAddress,
    /// The mode of Unix sockets, of tenants' listeners, too: who may connect.
    pub socket_mode: SocketMode,
    /// The origin at which clients reach this server, without a slash at the end; unset: from the
    /// request's `Host`.
    #[serde(with = "optional")]
    pub base_url: Option<String>,
    /// Number of worker threads; 0: the number of cores.
    pub threads: usize,
    /// Most connections at once; if unset, fewer when the limit of open files is too low.
    pub max_connections: usize,
    /// Most connections at once of one client address (of an IPv6 address its /64); 0: half of all.
    pub max_connections_per_client: usize,
    /// How long a new connection may take to send the head of its first request.
    pub header_timeout_ms: u64,
    /// How long a connection may be idle between two requests.
    pub keep_alive_ms: u64,
    /// How long a connection may be silent in the middle of a request, in either direction.
    pub idle_timeout_ms: u64,
    /// How long requests in flight may take after a signal to stop.
    pub shutdown_ms: u64,
    /// Addresses of proxies in front, whose `Forwarded` and `X-Forwarded-*` fields are believed.
    #[serde(with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Longest head of a request.
    pub max_header_bytes: usize,
    /// TLS of the listener, and of tenants' listeners that have none of their own.
    pub tls: ListenerTls,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: listen::DEFAULT_LISTEN.into(),
            socket_mode: SocketMode::default(),
            base_url: None,
            threads: 0,
            max_connections: 1024,
            max_connections_per_client: 0,
            header_timeout_ms: 15 * SECOND,
            // Node's agents keep an idle connection for 4 s, Go's for 90 s; both see at once that
            // one was closed.
            keep_alive_ms: 30 * SECOND,
            idle_timeout_ms: 2 * MINUTE,
            // Docker kills after 10 s, and what is in memory is persisted after the last request.
            shutdown_ms: 7 * SECOND,
            // A proxy on this machine.
            trusted_proxies: vec![
                IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
                IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
            ],
            // A token of 16 KiB and a URL of 8 KiB fit.
            max_header_bytes: 32 * 1024,
            tls: ListenerTls::default(),
        }
    }
}

impl ServerConfig {
    /// Returns the number of worker threads: `threads`, or the number of cores.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// The service for requests that are not for the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// The origin of the platform's results service, without a slash at the end; unset (`none`):
    /// nothing is forwarded.
    #[serde(with = "optional")]
    pub url: Option<String>,
    /// Timeout of the TCP connection.
    pub connect_timeout_ms: u64,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: Some("https://results-receiver.actions.githubusercontent.com".to_owned()),
            connect_timeout_ms: 5 * SECOND,
        }
    }
}

/// Verification of tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether tokens are accepted without verification.
    pub skip_validation: bool,
    /// Who may sign tokens; [`GITHUB_ISSUER`] if neither this nor `hs256_secrets` is set.
    pub issuers: Vec<IssuerConfig>,
    /// Where the keys of the only issuer are; unset: by discovery. In force it is moved to the
    /// issuer itself.
    #[serde(with = "optional")]
    pub jwks_url: Option<String>,
    /// The keys of the only issuer, in a file. In force it is moved to the issuer itself.
    #[serde(with = "optional")]
    pub jwks_file: Option<PathBuf>,
    /// Secrets that tokens may be signed with.
    #[serde(deserialize_with = "secret::list")]
    pub hs256_secrets: Vec<Secret>,
    /// Goes before the repository id of tokens that are signed with a secret.
    pub hs256_repository_prefix: String,
    /// The repository of tokens that name none; unset: they are refused.
    #[serde(with = "optional")]
    pub default_repository: Option<String>,
    /// Whose repositories may use the cache: ids or names of owners, behind the issuer's prefix.
    /// With `repositories` empty, too: everybody's whose token counts.
    pub owners: Vec<String>,
    /// Which repositories may use the cache besides those of `owners`: ids, or names like
    /// `owner/name`, behind the issuer's prefix.
    pub repositories: Vec<String>,
    /// How far clocks may differ.
    pub leeway_ms: u64,
    /// What a token's `aud` must name; unset: anything.
    #[serde(with = "optional")]
    pub audience: Option<String>,
    /// The claims that are stored with what a job saves.
    pub facts: Vec<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            skip_validation: false,
            issuers: Vec::new(),
            jwks_url: None,
            jwks_file: None,
            hs256_secrets: Vec::new(),
            hs256_repository_prefix: String::new(),
            default_repository: None,
            owners: Vec::new(),
            repositories: Vec::new(),
            leeway_ms: MINUTE,
            audience: None,
            facts: CLAIMS.map(str::to_owned).to_vec(),
        }
    }
}

/// Webhooks of the platform.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// The secret that deliveries are signed with; unset: there are no webhooks.
    #[serde(with = "optional")]
    pub secret: Option<Secret>,
}

/// The signed URLs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Urls {
    /// The secret that URLs are signed with; unset: a random one that is stored in the database.
    #[serde(with = "optional")]
    pub signing_secret: Option<Secret>,
    /// A second secret whose signatures are accepted, during a rotation.
    #[serde(with = "optional")]
    pub signing_secret_secondary: Option<Secret>,
    /// How long an upload URL is valid. One URL serves all blocks of an entry.
    pub upload_url_ms: u64,
    /// How long a download URL is valid. It is checked when a request starts.
    pub download_url_ms: u64,
    /// The origin of download URLs for `@actions/cache`, which reads in parallel where the host is
    /// a `….blob.core.windows.net`; unset: as for all others.
    #[serde(with = "optional")]
    pub parallel_download_url: Option<String>,
}

impl Default for Urls {
    fn default() -> Self {
        Self {
            signing_secret: None,
            signing_secret_secondary: None,
            // As long as GitHub lets a job run.
            upload_url_ms: 6 * HOUR,
            // Clients download at once, but resume with the same URL: 10 GB at 3 MB/s take an hour.
            download_url_ms: HOUR,
            parallel_download_url: None,
        }
    }
}

/// The guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// The component; unset: the one that is built in.
    #[serde(with = "optional")]
    pub component: Option<PathBuf>,
    /// Most linear memory of one instance.
    pub memory_bytes: u64,
    /// Longest run of an instance without a pause.
    pub deadline_ms: u64,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { component: None, memory_bytes: 64 * MIB, deadline_ms: 5 * SECOND }
    }
}

/// What is deleted, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Whether sweeps are off: nothing is deleted.
    pub disable: bool,
    /// Entries unused for this many days are deleted; 0: never.
    pub unused_days: u64,
    /// Entries that were not used once in this many days are deleted; 0: as others.
    pub never_used_days: u64,
    /// Entries older than this many days are not served any more, and deleted; 0: at any age.
    pub max_age_days: u64,
    /// Of which entries only the newest stay in each scope. The first prefix that matches counts.
    pub keep_newest: Vec<KeepNewest>,
    /// For how many hours a job of low trust may not save a key whose trusted entry was revoked or
    /// evicted; 0: it may at once.
    pub barred_hours: u64,
    /// How many entries are remembered that were deleted.
    pub departed_entries: usize,
    /// An upload without activity for this long yields to another save of its key; sweeps delete it
    /// after an hour.
    pub idle_upload_ms: u64,
    /// Objects without an entry are deleted when they are older than this.
    pub orphan_grace_hours: u64,
    /// Time between two sweeps of uploads.
    pub sweep_interval_ms: u64,
    /// Hours between two full sweeps, which check each entry and each stored object.
    pub full_sweep_hours: u64,
    /// Largest entry that is accepted; 0: any.
    pub max_entry_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            disable: false,
            unused_days: 90,
            never_used_days: 0,
            max_age_days: 0,
            keep_newest: Vec::new(),
            barred_hours: 24,
            departed_entries: 100_000,
            idle_upload_ms: 5 * MINUTE,
            orphan_grace_hours: 24,
            sweep_interval_ms: 5 * MINUTE,
            // In a bucket each look at an object is a request that is paid for.
            full_sweep_hours: 24,
            max_entry_bytes: 0,
        }
    }
}

/// Entries of which only the newest stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepNewest {
    /// How their keys begin.
    pub prefix: String,
    /// How many stay in each scope of a repository.
    pub keep: u32,
}

/// The log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// Whether debug lines are logged when `RUST_LOG` is unset.
    pub debug: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, debug: false }
    }
}

/// Outgoing TLS.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificates in PEM form that are trusted in addition to the system's.
    #[serde(with = "optional")]
    pub ca_file: Option<PathBuf>,
}

/// Deserializes a choice. The error names the value and the choices.
macro_rules! choice {
    ($type:ty, $allowed:literal, [$($text:literal => $value:expr),+]) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                match text.as_str() {
                    $($text => Ok($value),)+
                    _ => Err(serde::de::Error::custom(format!("is `{text}`; allowed is {}", $allowed))),
                }
            }
        }
    };
}
pub(super) use choice;

choice!(
    DatabaseDriver,
    "sqlite, postgres or mysql",
    ["sqlite" => Self::Sqlite, "postgres" => Self::Postgres, "mysql" => Self::Mysql]);
choice!(
SslMode,
"disable, prefer, require, verify-ca or verify-full",
[
    "" => Self::Unset, "disable" => Self::Disable, "prefer" => Self::Prefer, "require" => Self::Require,
    "verify-ca" => Self::VerifyCa, "verify-full" => Self::VerifyFull
]);
choice!(LogFormat, "text or json", ["text" => Self::Text, "json" => Self::Json]);
