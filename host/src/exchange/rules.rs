//! Rules as something that is exchanged.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use larder_rules::{Asker, Rules, Source};
use tokio::time::sleep;

use super::{Exchanged, Fault};
use crate::versions::Version;

/// So many failed questions within the trial, and rules go back, if they are also most of all questions.
const FAULTS: u64 = 10;
/// How often they are counted.
const LOOK: Duration = Duration::from_millis(250);
/// What holds without a file: no rules. They are versions, too, of no bytes.
pub(crate) const NO_RULES: (&[u8], &str) = (b"", "no rules");

/// Returns whether this is the digest of no rules.
pub(crate) fn is_no_rules(digest: &str) -> bool {
    Version::of(NO_RULES.0, NO_RULES.1).digest == digest
}

/// Exchanges the rules of the tenant `default`.
pub(crate) struct RulesExchange {
    pub(crate) asker: Asker,
    /// The directory of compiled components.
    pub(crate) cache: PathBuf,
    /// Whether the policy in force asks rules about requests.
    pub(crate) policy_asks: Box<dyn Fn() -> bool + Send + Sync>,
}

/// With the policy in force these rules would refuse nothing.
#[derive(Debug, thiserror::Error)]
#[error("the policy in force does not ask rules about what is restored or saved (larder:cache/rules)")]
pub(crate) struct NotAsked;

impl Exchanged for RulesExchange {
    /// `None`: no rules.
    type Loaded = Option<Arc<Rules>>;

    const WHAT: &'static str = "rules";
    const COMMAND: &'static str = "rules use";

    async fn load(&self, content: Vec<u8>, name: &str) -> Result<Self::Loaded, Fault> {
        let rules = load(&self.cache, content, name).await?;
        if rules.as_ref().is_some_and(|rules| rules.decide_requests()) && !(self.policy_asks)() {
            return Err(NotAsked.into());
        }
        Ok(rules)
    }

    async fn put(&self, rules: Self::Loaded) -> Result<(), Fault> {
        self.asker.exchange(rules);
        Ok(())
    }

    /// Never for no rules. Whoever can make one question in ten fail must not be able to switch rules off.
    async fn fails(&self, _rules: &Self::Loaded) {
        while !self.asker.status().is_some_and(|status| {
            let questions = status.interfaces.iter().map(|of| (of.asked + of.rested, of.failed + of.rested));
            let (asked, failed) = questions.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
            failed >= FAULTS && failed * 2 > asked
        }) {
            sleep(LOOK).await;
        }
    }

    /// Whether the policy asks them.
    fn beside(&self) -> bool {
        (self.policy_asks)()
    }

    /// Not to no rules: that would open what the failing ones close. Nor to some that the policy does not ask.
    fn may_go_back_to(&self, before: &Self::Loaded) -> bool {
        before.as_ref().is_some_and(|rules| !rules.decide_requests() || self.beside())
    }
}

/// Loads rules; no bytes are none.
pub(super) async fn load(cache: &Path, content: Vec<u8>, name: &str) -> Result<Option<Arc<Rules>>, Fault> {
    if content.is_empty() {
        return Ok(None);
    }
    let (cache, name) = (cache.to_owned(), name.to_owned());
    let load = move || Rules::load(Source::new(content, name)?, Some(&cache));
    let loaded = tokio::task::spawn_blocking(load).await.map_err(io::Error::from)?;
    Ok(Some(loaded?))
}

#[cfg(test)]
mod tests;
