//! What the operator has chosen: a TOML file, overlaid by environment variables, checked as a whole.
//!
//! Called once, at start, by the command line. The only module that reads the environment. A value is taken from the
//! variable if it is set and not empty, else from the file, else from the defaults (`sections.rs`). Everything that can be
//! known to be wrong is an error here, in one sentence that names the setting; nothing is guessed. Knows nothing of what
//! the settings are for.
//!
//! Plain `toml` and `serde` with a table of variables, and no library of configuration layers: the names of the variables
//! are given (those of the known server, so they follow no rule), and the checks between settings, the origins and the
//! warnings would have to be written on top of any library.

mod check;
mod database;
mod effective;
mod env;
mod error;
mod exposure;
mod file;
mod inherited;
mod issuer;
mod listen;
mod networks;
mod optional;
mod permissions;
mod proxy;
mod secret;
mod sections;
mod storage;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

pub use database::{Database, DatabaseDriver, DatabaseServer, Sqlite, SslMode};
pub use effective::Origin;
use effective::Origins;
pub use error::ConfigError;
pub use inherited::inherited_listener;
pub use issuer::{Issuer, allowed_url};
pub use proxy::Proxy;
pub use secret::{MIN_SECRET_BYTES, Secret};
pub use sections::{
    Auth, GITHUB_ISSUER, Log, LogFormat, Policy, Retention, Server, Settings, Tls, Upstream, Urls,
};
pub use storage::{Azblob, Downloads, Filesystem, Gcs, PathStyle, S3, Storage, StorageDriver};

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings, checked; paths that follow from others are filled in.
    pub settings: Settings,
    /// What is set but has no effect, and files of secrets that others can read: one sentence each, for the log.
    pub warnings: Vec<String>,
    /// What `RUST_LOG` says of what is logged; not looked at here.
    pub log_filter: Option<String>,
    /// Whether the storage becomes this database's, whoever's it was: the option `--adopt-storage`, never a setting.
    pub adopt_storage: bool,
    origins: Origins,
}

impl Config {
    /// Reads the file (else the one that `LARDER_CONFIG` names, else none) and the environment of this process.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
        let variables = std::env::vars_os();
        Self::load(file, variables)
    }

    /// Reads the file (else the one that `LARDER_CONFIG` names, else none) and these environment variables.
    ///
    /// # Errors
    /// When the file cannot be read, a setting is not known or not of its form, or two settings contradict each other.
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut variables = env::Variables::read(variables)?;
        let file = file.map(Path::to_owned).or_else(|| variables.get(env::CONFIG_FILE).map(PathBuf::from));
        let mut source =
            file.map_or_else(|| Ok(file::Source::default()), |path| file::Source::read(&path))?;
        env::overlay(&mut variables, &mut source)?;
        let mut settings = source.settings()?;
        database::check(&settings.database, &source.origins)?;
        check::resolve(&mut settings, &source.origins)?;
        check::settings(&settings, &source.origins)?;
        proxy::check(&settings.proxy, &source.origins)?;
        let mut warnings = env::without_effect(&variables);
        warnings.extend(check::storage::without_effect(&settings, &source.origins));
        warnings.extend(permissions::warnings(&settings, &source));
        Ok(Self {
            settings,
            warnings,
            log_filter: variables.get(env::LOG_FILTER).map(str::to_owned),
            adopt_storage: false,
            origins: source.origins,
        })
    }

    /// Returns whether the setting of this dotted name is set, and not just its default.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.origins.is_set(name)
    }

    /// Takes the policy component from this file instead, as the option `--policy` asks.
    #[must_use]
    pub fn with_policy(mut self, component: PathBuf) -> Self {
        self.settings.policy.component = Some(component);
        self.origins.set("policy.component", Origin::Option("--policy"));
        self
    }

    /// Returns what the operator should know of who reaches this server, and who may use it: one sentence each, for the log.
    #[must_use]
    pub fn exposure(&self) -> Vec<String> {
        exposure::sentences(&self.settings, &self.origins)
    }

    /// Returns the configuration in force as TOML, each value with where it comes from as a comment; secrets are `"***"`.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        effective::write(&self.settings, &self.origins)
    }
}

#[cfg(test)]
mod tests;
