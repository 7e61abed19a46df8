//! The policy as something that is exchanged.

use std::{io, path::PathBuf, sync::Arc};

use super::{Exchanged, Fault};
use crate::{
    engine::{Engine, InstanceLimits, LoadError, Policy, PolicyInForce},
    tenant::Tenant,
};

/// So many failures of instances within the trial, and a policy goes back. A lookup that fails is tried
/// twice.
const FAULTS: u32 = 5;

/// Loads policies.
#[derive(Clone)]
pub(crate) struct PolicyLoader {
    pub(crate) engine: Engine,
    /// The directory of compiled components.
    pub(crate) cache: PathBuf,
    pub(crate) limits: InstanceLimits,
}

impl PolicyLoader {
    /// Compiles a component, unless that was done before, and links it. Takes seconds.
    ///
    /// # Errors
    /// When it is not a component, or does not fit the cache world.
    pub(crate) fn load(&self, component: &[u8]) -> Result<Policy, LoadError> {
        self.engine.load(component, Some(&self.cache), self.limits)
    }
}

/// Exchanges the policy of the tenant `default`, and of those that share it.
pub(crate) struct PolicyExchange {
    pub(crate) loader: PolicyLoader,
    pub(crate) in_force: PolicyInForce,
    pub(crate) tenant: Arc<Tenant>,
}

impl Exchanged for PolicyExchange {
    type Loaded = Policy;

    const WHAT: &'static str = "policy";
    const COMMAND: &'static str = "policy use";

    async fn load(&self, content: Vec<u8>, _name: &str) -> Result<Policy, Fault> {
        let loader = self.loader.clone();
        let loaded = tokio::task::spawn_blocking(move || loader.load(&content)).await;
        let policy = loaded.map_err(io::Error::from)??;
        policy.probe(&self.tenant).await?;
        if !policy.asks_rules() && self.in_force.has_ruled() {
            return Err(LoadError::AsksNoRules.into());
        }
        Ok(policy)
    }

    async fn put(&self, policy: Policy) -> Result<(), Fault> {
        Ok(self.in_force.exchange(policy).await?)
    }

    async fn fails(&self, policy: &Policy) {
        policy.fails(FAULTS).await;
    }

    fn may_go_back_to(&self, before: &Policy) -> bool {
        before.asks_rules() || !self.beside()
    }

    /// Whether there are rules that decide about requests.
    fn beside(&self) -> bool {
        self.tenant.rules.decide_requests() || self.in_force.has_ruled()
    }
}
