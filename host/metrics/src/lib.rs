//! What a server counts, in the form of Prometheus; and whether it is live and ready.
//!
//! One [`Metrics`] belongs to one server: nothing is global. Most counts come from one place, the
//! end of a request ([`Metrics::count`]); calls of storage and database are measured by wrappers of
//! the two traits ([`MeasuredStorage`], [`MeasuredIndex`]); what is only known at the moment comes
//! from the server when a scrape asks ([`Source`]).
//!
//! Labels are bounded: no key, scope, entry, upload, run or token is ever in one (`labels.rs`,
//! `repositories.rs`, `tools.rs`). The names are a promise to dashboards: `families.rs` and `snapshot.rs`
//! have them, and those of `examples/grafana` are tried against a real Prometheus.

mod calls;
mod families;
mod health;
mod labels;
mod measured;
mod otlp;
mod process;
mod repositories;
mod request;
mod routes;
mod scrub;
mod snapshot;
mod tools;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{encoding, registry::Registry};
use tokio::time::{Instant, timeout};

pub use self::{
    calls::CallResult,
    families::{BuildInfo, InstanceMeter},
    health::{Health, Readiness},
    labels::{AuthFailure, PolicyFault, PolicyResult, SweepStage},
    measured::{MeasuredIndex, MeasuredStorage, removal_reason},
    repositories::{Repositories, Repository},
    request::{FinishedRequest, route},
    routes::routes,
    snapshot::{InForce, Keys, Pool, RulesCounts, ShadowCounts, Snapshot, Source},
};
use self::{
    families::Families,
    snapshot::{Latest, Names},
};

/// How old what a scrape reads of the server may be: several scrapers share one look.
const SNAPSHOT_MAX_AGE: Duration = Duration::from_secs(5);
/// How long a scrape waits for the server's database. After that it has what was read before.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(2);

/// The settings of [`Metrics`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether anything is counted.
    pub enabled: bool,
    /// Whether the three metrics of the known server are there, too, under its names.
    pub falcon_names: bool,
    /// Most repositories with a name in a label; all others are `_other`.
    pub repositories: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, falcon_names: false, repositories: 200 }
    }
}

/// What a server counts. Shared by all that count.
pub struct Metrics {
    enabled: bool,
    registry: Registry,
    families: Families,
    repositories: Repositories,
    latest: Arc<Mutex<Latest>>,
    source: Mutex<Option<Weak<dyn Source>>>,
    /// Held by the scrape that asks the server; when it last did.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Metrics {
    /// Makes the metrics of a server. `build` is what [`BuildInfo`] says.
    #[must_use]
    pub fn new(settings: &Settings, build: &BuildInfo) -> Arc<Self> {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry, settings.falcon_names, build);
        let latest = Arc::new(Mutex::new(Latest::new(settings.falcon_names)));
        registry.register_collector(Box::new(Names(latest.clone())));
        process::register(&mut registry);
        Arc::new(Self {
            enabled: settings.enabled,
            registry,
            families,
            repositories: Repositories::new(settings.repositories),
            latest,
            source: Mutex::new(None),
            asked: tokio::sync::Mutex::new(None),
        })
    }

    /// Metrics that count nothing.
    #[must_use]
    pub fn disabled() -> Arc<Self> {
        let settings = Settings { enabled: false, ..Settings::default() };
        Self::new(&settings, &BuildInfo::default())
    }

    /// Returns whether anything is counted.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Sets what a scrape asks for what is known only at the moment. The caller keeps it: it holds what
    /// counts here, storage and database, which a server that has stopped must let go of.
    pub fn set_source(&self, source: &Arc<dyn Source>) {
        *self.source.lock() = Some(Arc::downgrade(source));
    }

    /// Asks the server for what is known only at the moment, unless that was done a moment ago, and
    /// returns all in the text format of Prometheus.
    pub async fn scrape(&self) -> String {
        self.refresh().await;
        self.render()
    }

    /// Returns all in the text format of Prometheus (version 0.0.4), with what the last scrape knew.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encoding::prometheus_text::encode(&mut text, &self.registry);
        text
    }

    /// As [`Self::render`], in the format of OpenMetrics (version 1.0.0).
    #[must_use]
    pub fn render_open_metrics(&self) -> String {
        let mut text = String::new();
        let _ = encoding::text::encode(&mut text, &self.registry);
        text
    }

    async fn refresh(&self) {
        let Some(source) = self.source.lock().as_ref().and_then(Weak::upgrade) else { return };
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < SNAPSHOT_MAX_AGE) {
            return;
        }
        if let Ok(snapshot) = timeout(SNAPSHOT_PATIENCE, source.snapshot()).await {
            self.latest.lock().set(snapshot, &self.repositories);
        }
        *asked = Some(Instant::now());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}
