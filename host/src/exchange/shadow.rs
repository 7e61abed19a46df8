//! The rules in the shadow as something that is exchanged, and what they answer otherwise as a file.

use std::{future::pending, path::PathBuf, sync::Arc, time::Duration};

use larder_rules::{Asker, Rules, ShadowStatus, Status};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::{Exchanged, Fault, rules::load};
use crate::versions::Versions;

/// How often what they answer is written down, if there is anything new.
const REPORT: Duration = Duration::from_secs(1);

/// Exchanges the rules in the shadow of the tenant `default`. They do not go back by themselves: nothing
/// depends on them.
pub(crate) struct ShadowExchange {
    pub(crate) asker: Asker,
    /// The directory of compiled components.
    pub(crate) cache: PathBuf,
    /// How many of each hundred questions they get.
    pub(crate) percent: u8,
}

impl Exchanged for ShadowExchange {
    /// `None`: no rules.
    type Loaded = Option<Arc<Rules>>;

    const WHAT: &'static str = "rules in the shadow";
    const COMMAND: &'static str = "rules shadow";

    async fn load(&self, content: Vec<u8>, name: &str) -> Result<Self::Loaded, Fault> {
        load(&self.cache, content, name).await
    }

    async fn put(&self, rules: Self::Loaded) -> Result<(), Fault> {
        Ok(self.asker.set_shadow(rules, self.percent)?)
    }

    async fn fails(&self, _rules: &Self::Loaded) {
        pending::<()>().await;
    }

    fn may_go_back_to(&self, _before: &Self::Loaded) -> bool {
        false
    }
}

/// The rules of a tenant, and what has become of their questions.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RulesReport {
    pub(crate) active: Option<Status>,
    pub(crate) shadow: Option<ShadowStatus>,
}

impl RulesReport {
    pub(crate) fn of(asker: &Asker) -> Self {
        Self { active: asker.status(), shadow: asker.shadow_status() }
    }
}

/// Writes down what the rules in the shadow answer, for `larder rules status`.
pub(crate) async fn run_reports(asker: &Asker, versions: &Versions) {
    let mut written = None;
    let mut ticks = interval(REPORT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shadow = asker.shadow_status();
        // What an earlier process wrote stays until there is a shadow, or was one.
        if shadow == written {
            continue;
        }
        let report = serde_json::to_vec(&RulesReport { active: asker.status(), shadow: shadow.clone() });
        let report = report.unwrap_or_default();
        let store = versions.clone();
        let stored = tokio::task::spawn_blocking(move || store.report(&report)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(%error, "cannot write down what the rules in the shadow answer");
        }
        written = shadow;
    }
}
