//! What counts for operators, and knows whether the server is ready.

use std::sync::Arc;

use larder_metrics::{BuildInfo, Health, Metrics};

use crate::config::{MetricNames, Settings};

/// Where the version of the world is.
const WORLD: &str = include_str!("../../../wit/types.wit");

/// What all parts of a server report to.
#[derive(Clone)]
pub(crate) struct Observed {
    /// Counts.
    pub(crate) metrics: Arc<Metrics>,
    /// What answered when.
    pub(crate) health: Arc<Health>,
}

impl Observed {
    /// As configured. Without a name the caller brings the storage, or the index.
    pub(crate) fn new(settings: &Settings, has_own_storage: bool, has_own_index: bool) -> Self {
        let counted = larder_metrics::Settings {
            enabled: settings.metrics.enabled,
            falcon_names: settings.metrics.compat == MetricNames::Falcon,
            repositories: settings.metrics.repositories,
        };
        let build = BuildInfo {
            version: env!("CARGO_PKG_VERSION"),
            // Set by who builds; `make` does.
            revision: option_env!("LARDER_REVISION").unwrap_or("unknown"),
            wit: world_version().to_owned(),
            storage: storage_name(settings, has_own_storage),
            database: database_name(settings, has_own_index),
        };
        Self { metrics: Metrics::new(&counted, &build), health: Arc::default() }
    }

    /// For a look from beside a server: nothing is counted.
    pub(crate) fn nothing() -> Self {
        Self { metrics: Metrics::disabled(), health: Arc::default() }
    }
}

/// The storage's driver, in a label.
pub(super) fn storage_name(settings: &Settings, is_callers: bool) -> &'static str {
    if is_callers { "caller" } else { settings.storage.driver.name() }
}

/// The database's driver, in a label.
pub(super) fn database_name(settings: &Settings, is_callers: bool) -> &'static str {
    if is_callers { "caller" } else { settings.database.driver.name() }
}

fn world_version() -> &'static str {
    let package = WORLD.lines().find_map(|line| line.strip_prefix("package larder:cache@"));
    package.map_or("", |version| version.trim_end_matches(';'))
}
