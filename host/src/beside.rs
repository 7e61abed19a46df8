//! A look at a server's data from beside it, while it runs or not.

use std::sync::Arc;

use larder_common::{TenantName, causes::chain};
use larder_index::IndexError;
use tokio::task::LocalSet;

use crate::{
    config::Config,
    engine::{ExplainFault, Policy},
    error::StartError,
    explain::{Explanation, Query},
    setup,
    tenant::Tenant,
};

/// The index, the storage and the policy of a server, opened beside it.
pub struct Beside {
    policy: Policy,
    tenant: Arc<Tenant>,
    config: Config,
    name: Option<TenantName>,
}

/// Why a lookup cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The index failed.
    #[error("{0}")]
    Index(String),
    /// The rules of the operator, which are asked, too, cannot be loaded.
    #[error("the rules cannot be loaded")]
    Rules(#[source] StartError),
    /// The policy does not ask them: the server refuses one or the other.
    #[error(
        "the policy component does not ask the rules that are wanted; `larder policy status` and `rules status` say what is in force"
    )]
    NotAsked,
    /// The policy failed.
    #[error("the policy component failed: it trapped, or took too long")]
    Policy,
}

impl Beside {
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Opens what the configuration of the server says. The database gets the tables of this program's
    /// version, if it does not have them yet: use that of the server. `tenant`: of several tenants
    /// another one than `default`. Returns `None` if there is no such tenant.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config, tenant: Option<&TenantName>) -> Result<Option<Self>, StartError> {
        let opened = Box::pin(setup::beside(config, tenant)).await?;
        let (config, name) = (config.clone(), tenant.cloned());
        Ok(opened.map(|(policy, tenant)| Self { policy, tenant, config, name }))
    }

    /// Returns the ids of the repositories that are called so, the one that used the name last first.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn find_repositories(&self, name: &str) -> Result<Vec<String>, IndexError> {
        self.tenant.index.find_repositories(name).await
    }

    /// Has the policy explain a lookup, with the rules that are in force in the running server. Records no
    /// use.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn explain(&self, query: Query) -> Result<Explanation, ExplainError> {
        // Only here: what else is done beside a server does not depend on rules.
        let rules = setup::rules_beside(&self.config, self.name.as_ref()).map_err(ExplainError::Rules)?;
        self.tenant.rules.exchange(rules);
        if self.tenant.rules.decide_requests() && !self.policy.asks_rules() {
            return Err(ExplainError::NotAsked);
        }
        let explained = async {
            let guest = self.policy.start(&self.tenant);
            guest.explain(self.tenant.clock.now_ms(), query).await
        };
        LocalSet::new().run_until(explained).await.map_err(|fault| match fault {
            ExplainFault::Guest(fault) => {
                tracing::debug!(error = %chain(&fault), "a lookup cannot be explained");
                ExplainError::Policy
            }
            ExplainFault::Index(text) => ExplainError::Index(text),
        })
    }
}
