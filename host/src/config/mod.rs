//! The configuration: a TOML file, overlaid by environment variables, checked as a whole.
//!
//! Loaded once, at start. The only module that reads the environment. A value comes from the
//! variable if that is set and not empty, else from the file, else from the defaults
//! (`sections.rs`). Every detectable mistake is an error of one sentence that names the setting;
//! nothing is guessed. Knows nothing of what the settings are for.
//!
//! Plain `toml` and `serde` with a table of variables, and no library for layered configuration:
//! the names of the variables are given (those of the known server, so they follow no rule), and
//! the checks between settings, the provenance and the warnings would have to be written on top of
//! any library.

mod capacity;
mod check;
mod database;
mod effective;
mod env;
mod error;
mod exposure;
mod file;
mod history;
mod issuer;
mod listen;
mod listener_tls;
mod management;
mod metrics;
mod networks;
mod optional;
mod otlp;
mod permissions;
mod proxy;
mod rules;
mod secret;
mod sections;
mod socket_activation;
mod socket_mode;
mod storage;
mod tenants;
mod trace;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

pub use capacity::{CapacityConfig, RepositoryLimit};
pub use database::{Database, DatabaseDriver, DatabaseServer, Sqlite, SslMode};
pub use effective::Provenance;
use effective::Provenances;
pub use error::ConfigError;
pub use history::HistoryConfig;
pub use issuer::{IssuerConfig, allowed_url};
pub use listen::ListenAddress;
pub use listener_tls::{ClientCertificates, ListenerTls};
pub use management::{DEFAULT_MANAGEMENT_LISTEN, Management};
pub use metrics::{MetricNames, MetricsConfig};
pub use otlp::OtlpConfig;
pub use proxy::Proxy;
pub use rules::{FailureChoice, OnFailure, RetentionChoice, RulesConfig};
pub use secret::{MIN_SECRET_BYTES, Secret};
pub use sections::{
    Auth, GITHUB_ISSUER, KeepNewest, Log, PolicyConfig, Retention, ServerConfig, Settings, Tls,
    UpstreamConfig, Urls, Webhooks,
};
pub use socket_activation::{InheritedListener, inherited_listeners};
pub use socket_mode::SocketMode;
pub use storage::{Azblob, Digests, Downloads, Filesystem, Gcs, PathStyle, S3, Storage, StorageDriver};
pub use tenants::{REMOVED_TENANT, TenantSummary, Tenants};
pub(crate) use tenants::{
    RemovedTenant, TenantConfig, TenantFiles, TenantSection, host_name, removed_tenants,
};
pub use trace::TraceConfig;

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The checked settings, with derived paths filled in.
    pub settings: Settings,
    /// Settings without effect, and files of secrets that other users can read: one sentence each,
    /// for the log.
    pub warnings: Vec<String>,
    /// The value of `RUST_LOG`; not parsed here.
    pub log_filter: Option<String>,
    /// Whether the storage is adopted, though it may be another database's: the option
    /// `--adopt-storage`, never a setting.
    pub adopt_storage: bool,
    /// Whether the rows of a database server may be rewritten for another
    /// `database.case_sensitive_keys`: the option `--rewrite-keys`, never a setting.
    pub rewrite_keys: bool,
    provenances: Provenances,
}

impl Config {
    /// Reads the file (else the one that `LARDER_CONFIG` names, else none) and the environment of
    /// this process.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
        let variables = std::env::vars_os();
        Self::load(file, variables)
    }

    /// Reads the file (else the one that `LARDER_CONFIG` names, else none) and these environment
    /// variables.
    ///
    /// # Errors
    /// When the file cannot be read, a setting is unknown or malformed, or two settings contradict
    /// each other.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut variables = env::Variables::read(variables.into_iter())?;
        let file = file.map(Path::to_owned).or_else(|| variables.get(env::CONFIG_FILE).map(PathBuf::from));
        let mut source =
            file.map_or_else(|| Ok(file::RawSettings::default()), |path| file::RawSettings::read(&path))?;
        env::overlay(&mut variables, &mut source)?;
        let mut settings = source.settings()?;
        database::check(&settings.database, &source.provenances)?;
        check::resolve(&mut settings, &source.provenances)?;
        check::settings(&settings, &source.provenances)?;
        proxy::check(&settings.proxy, &source.provenances)?;
        let mut warnings = env::without_effect(&variables);
        warnings.extend(check::storage::without_effect(&settings, &source.provenances));
        warnings.extend(capacity::without_effect(&settings, &source.provenances));
        warnings.extend(permissions::warnings(&settings, &source));
        Ok(Self {
            settings,
            warnings,
            log_filter: variables.get(env::LOG_FILTER).map(str::to_owned),
            adopt_storage: false,
            rewrite_keys: false,
            provenances: source.provenances,
        })
    }

    /// Returns whether the setting with this dotted name is set.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.provenances.is_set(name)
    }

    /// Puts the rules in this file in force: the option `--rules`.
    #[must_use]
    pub fn with_rules(mut self, file: PathBuf) -> Self {
        self.settings.rules.file = Some(file);
        self.provenances.set("rules.file", Provenance::Option("--rules"));
        self
    }

    /// Replaces the policy component by this file: the option `--policy`.
    #[must_use]
    pub fn with_policy(mut self, component: PathBuf) -> Self {
        self.settings.policy.component = Some(component);
        self.provenances.set("policy.component", Provenance::Option("--policy"));
        self
    }

    /// Returns what the files of the tenants say, in the order of their names; nothing without
    /// `tenants.dir`.
    ///
    /// # Errors
    /// When the directory cannot be read. What is wrong with a file is in its summary.
    pub fn tenants(&self) -> Result<Vec<TenantSummary>, ConfigError> {
        match &self.settings.tenants.dir {
            Some(dir) => tenants::summaries(dir, &self.settings),
            None => Ok(Vec::new()),
        }
    }

    /// Returns warnings about who can reach this server, and who may use it: one sentence each, for
    /// the log.
    #[must_use]
    pub fn exposure(&self) -> Vec<String> {
        exposure::sentences(&self.settings, &self.provenances)
    }

    /// Returns the effective configuration as TOML, each value with its provenance as a comment;
    /// secrets are `"***"`.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        effective::write(&self.settings, &self.provenances)
    }
}

/// Which server the command line asks: `LARDER_URL` and `LARDER_API_KEY`; without a URL it looks at what the
/// configuration names.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The origin of the management API.
    pub url: Option<String>,
    /// The key.
    pub key: Option<Secret>,
}

impl Client {
    /// Reads the environment of this process.
    #[must_use]
    pub fn from_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
        let get = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self { url: get(env::CLIENT_URL), key: get(env::CLIENT_KEY).map(Secret::new) }
    }
}

/// The user's folder for what can be made again, by the conventions of the desktop; `None` without a
/// home.
#[must_use]
pub fn user_cache() -> Option<PathBuf> {
    let folder = |name: &str| {
        #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
        let value = std::env::var_os(name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
}

#[cfg(test)]
mod tests;
