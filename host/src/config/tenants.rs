//! Several tenants in one server: the section `[tenants]`, and the file of each tenant.
//!
//! A file says what a tenant has of its own. What is the same for all, and where no tenant may
//! differ (listener, storage, database, log), is in the configuration of the server.

mod claims;
mod own_storage;
mod section_check;

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::uri::Authority;
use larder_common::{TenantName, causes::chain};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{
    Auth, CapacityConfig, ConfigError, ListenAddress, ListenerTls, PolicyConfig, Provenance, Retention,
    RulesConfig, Settings, Storage, UpstreamConfig, Urls, Webhooks, check, exposure, file::RawSettings,
    optional,
};
use claims::Claims;

/// How the file of a tenant ends.
const EXTENSION: &str = "toml";
/// How it ends while the tenant is being removed.
pub const REMOVED_TENANT: &str = "removed";

/// Several tenants in one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenants {
    /// A directory with a file for each tenant, `NAME.toml`, which is watched; unset: there is one
    /// tenant, and every host is its.
    #[serde(with = "optional")]
    pub dir: Option<PathBuf>,
    /// Host names of the tenant `default`, which the configuration of the server describes.
    pub hosts: Vec<String>,
    /// Most instances of policies at once.
    pub max_instances: usize,
    /// An instance without a request for so long ends.
    pub idle_ms: u64,
    /// Linear memory of all instances together, above 4 MiB of each.
    pub guest_memory_bytes: u64,
}

impl Default for Tenants {
    fn default() -> Self {
        Self {
            dir: None,
            hosts: Vec::new(),
            max_instances: 256,
            idle_ms: 30_000,
            guest_memory_bytes: 512 * 1024 * 1024,
        }
    }
}

/// A tenant, as its file describes it.
#[derive(Clone, Debug)]
pub(crate) struct TenantConfig {
    /// The name of its file.
    pub name: TenantName,
    /// What only tenants have.
    pub own: TenantSection,
    /// The settings of the server with those of the tenant in their places.
    pub settings: Settings,
    /// Its section `storage`, which is in `settings`, too; `None`: it is in the storage of the server.
    pub own_storage: Option<Storage>,
}

/// The section `[tenant]` of a tenant's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TenantSection {
    /// Host names at which the tenant is served, with a port where it matters.
    pub hosts: Vec<String>,
    /// Addresses on which the server listens for this tenant alone.
    pub listen: Vec<ListenAddress>,
    /// Whether requests to other hosts are this tenant's if their token is of one of its issuers.
    pub by_issuer: bool,
    /// The origin at which clients reach this tenant; unset: from the request's `Host`.
    #[serde(with = "optional")]
    pub base_url: Option<String>,
    /// Most requests in flight.
    pub max_requests: usize,
    /// Most connections at once whose latest request was this tenant's; 0: half of
    /// `server.max_connections`.
    pub max_connections: usize,
    /// What its policy may compute beyond 0.25 ms for each request, in percent of a core.
    pub cpu_percent: u32,
    /// Most bytes that it may have stored, in the server's storage or its own; 0: any.
    pub max_bytes: u64,
    /// TLS of its own listeners, and of its hosts on the server's where that has TLS; unset: that of
    /// the server.
    pub tls: ListenerTls,
}

impl Default for TenantSection {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            listen: Vec::new(),
            by_issuer: false,
            base_url: None,
            max_requests: 64,
            max_connections: 0,
            cpu_percent: 10,
            max_bytes: 0,
            tls: ListenerTls::default(),
        }
    }
}

/// A tenant's file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TenantFile {
    tenant: TenantSection,
    upstream: UpstreamConfig,
    auth: Auth,
    urls: Urls,
    policy: PolicyConfig,
    rules: RulesConfig,
    retention: Retention,
    capacity: CapacityConfig,
    webhooks: Webhooks,
    storage: Option<Storage>,
}

/// What a file inherits of the server's configuration where it does not say otherwise: never a
/// secret, and never who may use it.
const INHERITED: [&str; 28] = [
    "upstream.url",
    "upstream.connect_timeout_ms",
    "auth.leeway_ms",
    "auth.facts",
    "urls.upload_url_ms",
    "urls.download_url_ms",
    "policy.component",
    "policy.memory_bytes",
    "policy.deadline_ms",
    "rules.file",
    "rules.shadow",
    "rules.shadow_percent",
    "rules.on_failure.access",
    "rules.on_failure.restore",
    "rules.on_failure.save",
    "retention.unused_days",
    "retention.never_used_days",
    "retention.max_age_days",
    "retention.keep_newest",
    "retention.barred_hours",
    "retention.departed_entries",
    "retention.idle_upload_ms",
    "retention.max_entry_bytes",
    "capacity.repository_max_bytes",
    "capacity.scope_percent",
    "capacity.evict_at_percent",
    "capacity.evict_to_percent",
    "capacity.wait_ms",
];
/// What is the same for all tenants.
const COMMON: [&str; 6] = [
    "retention.disable",
    "retention.orphan_grace_hours",
    "retention.sweep_interval_ms",
    "retention.full_sweep_hours",
    "capacity.max_bytes",
    "capacity.max_disk_percent",
];

/// The tenants of a directory, and what is wrong with the files of others.
#[derive(Debug, Default)]
pub(crate) struct TenantFiles {
    pub(crate) tenants: Vec<TenantConfig>,
    pub(crate) faults: Vec<(PathBuf, ConfigError)>,
    /// Those that are being removed.
    pub(crate) removed: Vec<RemovedTenant>,
}

impl TenantFiles {
    /// Reads all files. A file with a fault does not keep the others from being read.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn read(dir: &Path, server: &Settings) -> Result<Self, ConfigError> {
        let mut read = Self { removed: removed_tenants(dir, server)?, ..Self::default() };
        let mut claims = Claims::of_server(server)?;
        claims.note_removed(&read.removed);
        let inherited = inherited(server);
        for path in files(dir, EXTENSION)? {
            let tenant = TenantConfig::read(&path, server, &inherited).and_then(|tenant| {
                claims.claim(&tenant)?;
                Ok(tenant)
            });
            match tenant {
                Ok(tenant) => read.tenants.push(tenant),
                Err(fault) => read.faults.push((path, fault)),
            }
        }
        Ok(read)
    }
}

/// A tenant, as its file describes it, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSummary {
    /// Its name: that of its file.
    pub name: String,
    /// The host names at which it is served.
    pub hosts: Vec<String>,
    /// The addresses on which the server listens for it alone.
    pub listen: Vec<ListenAddress>,
    /// Whether the issuer of a token chooses it, too.
    pub is_by_issuer: bool,
    /// Whether its entries are being deleted.
    pub is_being_removed: bool,
    /// What is wrong with its file.
    pub fault: Option<String>,
}

/// Reads all files of a directory, for the operator.
pub(super) fn summaries(dir: &Path, server: &Settings) -> Result<Vec<TenantSummary>, ConfigError> {
    let TenantFiles { tenants, faults, .. } = TenantFiles::read(dir, server)?;
    let name_of =
        |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let nothing = |path: &Path| TenantSummary {
        name: name_of(path),
        hosts: Vec::new(),
        listen: Vec::new(),
        is_by_issuer: false,
        is_being_removed: false,
        fault: None,
    };
    let good = tenants.into_iter().map(|TenantConfig { name, own, .. }| TenantSummary {
        name: name.to_string(),
        hosts: own.hosts,
        listen: own.listen,
        is_by_issuer: own.by_issuer,
        ..nothing(Path::new(""))
    });
    let bad = faults.iter().map(|(path, fault)| TenantSummary { fault: Some(chain(fault)), ..nothing(path) });
    let removed = files(dir, REMOVED_TENANT)?;
    let removed = removed.iter().map(|path| TenantSummary { is_being_removed: true, ..nothing(path) });
    let mut all: Vec<_> = good.chain(bad).chain(removed).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// A tenant that is being removed.
#[derive(Debug)]
pub(crate) struct RemovedTenant {
    pub(crate) name: TenantName,
    /// The file that says so.
    pub(crate) mark: PathBuf,
    /// Its own storage, if it has one.
    pub(crate) storage: Result<Option<Storage>, ConfigError>,
}

/// Returns the tenants that are being removed.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn removed_tenants(dir: &Path, server: &Settings) -> Result<Vec<RemovedTenant>, ConfigError> {
    let removed = |mark: PathBuf| {
        let name = mark.file_stem()?.to_str()?.parse().ok()?;
        let storage = own_storage::read(&mark, server);
        Some(RemovedTenant { name, mark, storage })
    };
    Ok(files(dir, REMOVED_TENANT)?.into_iter().filter_map(removed).collect())
}

/// The files of a directory that end so, in the order of their names.
fn files(dir: &Path, end: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: dir.to_owned(), source };
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let is_tenant = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == end)
            && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    let mut files: Vec<_> = paths.filter(is_tenant).collect();
    files.sort();
    Ok(files)
}

/// Reads the settings of a file, with what it inherits.
fn source(path: &Path, inherited: &[(&str, Value)]) -> Result<RawSettings, ConfigError> {
    let mut source = RawSettings::read(path)?;
    source.provenances.set_file_alone();
    if let Some(name) = COMMON.iter().find(|name| source.provenances.is_set(name)) {
        let problem = format!("{name} is the same for all tenants: set it in the server's file");
        return Err(ConfigError::File { path: path.to_owned(), line: 1, problem });
    }
    for (name, value) in inherited {
        if !source.provenances.is_set(name) {
            source.set(name, value.clone(), Provenance::Default);
        }
    }
    Ok(source)
}

impl TenantConfig {
    /// Reads a tenant's file.
    ///
    /// # Errors
    /// As [`Config::load`](super::Config::load).
    fn read(path: &Path, server: &Settings, inherited: &[(&str, Value)]) -> Result<Self, ConfigError> {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let fault = |problem: String| ConfigError::File { path: path.to_owned(), line: 1, problem };
        let name: TenantName = name.parse().map_err(|error| fault(format!("{error}")))?;
        if name.is_default() {
            return Err(fault(
                "the tenant `default` is described by the configuration of the server; its hosts are tenants.hosts"
                    .to_owned(),
            ));
        }
        let source = source(path, inherited)?;
        let TenantFile {
            tenant: mut own,
            upstream,
            auth,
            urls,
            policy,
            rules,
            retention,
            capacity,
            webhooks,
            storage,
        } = source.parse()?;
        let complete = |storage| own_storage::complete(storage, server, &source.provenances);
        let own_storage = storage.map(complete).transpose()?;
        own.hosts = own.hosts.iter().map(|host| host_name(host).map_err(&fault)).collect::<Result<_, _>>()?;
        own.check(&auth).map_err(&fault)?;
        own.check_tls(server, &source.provenances)?;
        let mut settings =
            Settings { upstream, auth, urls, policy, rules, retention, capacity, webhooks, ..server.clone() };
        if let Some(storage) = &own_storage {
            settings.storage = storage.clone();
        }
        settings.server.base_url = own.base_url.take();
        check::resolve_tenant(&mut settings, &source.provenances)?;
        check::settings(&settings, &source.provenances).map_err(of_tenant)?;
        Ok(Self { name, own, settings, own_storage })
    }
}

impl TenantConfig {
    /// Returns a warning, if any repository of github.com may use this tenant.
    pub(crate) fn exposure(&self) -> Option<String> {
        let mut settings = self.settings.clone();
        if let Some(open) = self.own.listen.iter().find(|address| !address.is_local()) {
            settings.server.listen = open.clone();
        }
        exposure::open_to_everybody(&settings)
    }
}

/// Names a setting as it is called in a tenant's file.
fn of_tenant(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Setting { setting, problem } if setting == "server.base_url" => {
            ConfigError::Setting { setting: "tenant.base_url".to_owned(), problem }
        }
        error => error,
    }
}

/// Returns what a file inherits where it does not say otherwise, by dotted name.
fn inherited(server: &Settings) -> Vec<(&'static str, Value)> {
    // Plain structures of text, numbers and lists: they always serialize.
    let table = Table::try_from(server).unwrap_or_default();
    let table = Value::Table(table);
    let value = |name: &'static str| {
        let value = name.split('.').try_fold(&table, |table, key| table.get(key))?;
        Some((name, value.clone()))
    };
    INHERITED.into_iter().chain(COMMON).filter_map(value).collect()
}

/// Checks a host name, and writes it as it is compared: in lower case, without a dot at the end.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    let authority: Option<Authority> = host.parse().ok();
    match authority {
        Some(authority) if !authority.host().is_empty() && !host.contains('@') => {
            Ok(host.strip_suffix('.').unwrap_or(&host).to_owned())
        }
        _ => Err(format!("`{text}` is not a host name, with a port or without")),
    }
}

#[cfg(test)]
mod tests;
