//! A tenant, as its operators see it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use larder_common::{causes::chain, event::Event};
use larder_index::{Cause, Departure, Entry, Index, SavedBy, Upload};
use larder_management::{
    Action, ExplainQuery, Fault, Revocation, ScrubRequest, ScrubStatus, Tenant as ManagedTenant, VersionInfo,
    VersionedKind, VersionsInfo,
};
use serde_json::Value;
use tokio::{sync::broadcast, task::LocalSet};

use super::Versioning;
use crate::{
    auth::Scope,
    capacity::remove_object,
    ending::Ending,
    engine::{ExplainFault, Policy},
    exchange::RulesReport,
    explain::Query,
    revoke,
    scrub::{Plan, TenantScrub},
    tenant::Tenant,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) struct OneTenant {
    pub(super) policy: Policy,
    pub(super) tenant: Arc<Tenant>,
    pub(super) scrub: Arc<TenantScrub>,
    /// What exchanges its policy and rules; `None`: files of its own, or the server's, alone.
    pub(super) versions: Option<Arc<Versioning>>,
}

impl OneTenant {
    fn ending(&self) -> Ending<'_> {
        Ending::of(&self.tenant)
    }
}

#[async_trait]
impl ManagedTenant for OneTenant {
    fn index(&self) -> &dyn Index {
        &*self.tenant.index
    }

    fn limit_bytes(&self) -> Option<u64> {
        self.tenant.capacity.as_ref().and_then(|capacity| capacity.limits.most())
    }

    fn repository_limit_bytes(&self, id: &str, name: &str) -> Option<u64> {
        self.tenant.capacity.as_ref().and_then(|capacity| capacity.limits.most_of(id, name))
    }

    fn unused_days(&self) -> Option<u64> {
        self.tenant.settings.unused_entry_ms.map(|ms| ms / DAY_MS)
    }

    async fn delete_entry(&self, entry: &Entry) -> Result<bool, Fault> {
        let tenant = &self.tenant;
        let departure = Departure { cause: Cause::Manual, at_ms: tenant.clock.now_ms() };
        if !tenant.index.delete_entry(entry.id, &departure).await? {
            return Ok(false);
        }
        let reason = larder_metrics::removal_reason(&departure.cause);
        tenant.metrics.count_removed_bytes(reason, entry.size_bytes);
        if let Err(error) = remove_object(tenant, &entry.object).await {
            tracing::warn!(error = %chain(&error), object = %entry.object, "cannot delete the object of a deleted entry; leaving it to the sweep");
        } else if let Err(error) = tenant.removals.flush(&*tenant.index).await {
            tracing::warn!(error = %chain(&error), "what was removed is still counted; the cleaner tries again");
        }
        Ok(true)
    }

    async fn delete_upload(&self, upload: &Upload) -> Result<bool, Fault> {
        Ok(self.ending().upload(upload).await?)
    }

    async fn revoke(&self, by: &SavedBy, action: Action, dry_run: bool) -> Result<Revocation, Fault> {
        Ok(revoke::revoke(self.ending(), by, action, dry_run, self.tenant.clock.now_ms()).await?)
    }

    fn rules(&self) -> Value {
        serde_json::to_value(RulesReport::of(&self.tenant.rules)).unwrap_or_default()
    }

    fn versions(&self, kind: VersionedKind) -> Result<VersionsInfo, Fault> {
        match &self.versions {
            Some(versions) => versions.told(kind, || in_use(&self.policy, &self.tenant, kind)),
            None => {
                Ok(VersionsInfo { in_force: in_use(&self.policy, &self.tenant, kind), ..Default::default() })
            }
        }
    }

    async fn use_version(
        &self,
        kind: VersionedKind,
        name: String,
        content: Bytes,
    ) -> Result<VersionInfo, Fault> {
        self.versions.as_ref().ok_or_else(by_its_file)?.put(kind, name, content).await
    }

    async fn use_configured(&self, kind: VersionedKind) -> Result<VersionInfo, Fault> {
        self.versions.as_ref().ok_or_else(by_its_file)?.put_configured(kind).await
    }

    async fn roll_back(&self, kind: VersionedKind) -> Result<VersionInfo, Fault> {
        self.versions.as_ref().ok_or_else(by_its_file)?.roll_back(kind).await
    }

    fn events(&self) -> Result<broadcast::Receiver<Arc<Event>>, Fault> {
        Ok(self.tenant.trace.subscribe())
    }

    fn failures(&self) -> Vec<Event> {
        self.tenant.trace.failures()
    }

    async fn start_scrub(
        &self,
        asked: ScrubRequest,
        repositories: Vec<String>,
    ) -> Result<Option<ScrubStatus>, Fault> {
        let ScrubRequest { repair, record, bytes_per_second, after, .. } = asked;
        let bytes_per_second = Some(bytes_per_second).filter(|rate| *rate > 0);
        let plan = Plan { repair, record, bytes_per_second, repositories, after };
        Ok(self.scrub.start(&self.tenant, plan)?.then(|| self.scrub.status()))
    }

    fn scrub_status(&self) -> Result<ScrubStatus, Fault> {
        Ok(self.scrub.status())
    }

    fn stop_scrub(&self) -> Result<ScrubStatus, Fault> {
        self.scrub.stop();
        Ok(self.scrub.status())
    }

    async fn explain(&self, query: ExplainQuery) -> Result<Value, Fault> {
        let ExplainQuery { repository, scopes, version, keys } = query;
        let scope = |(at, name): (usize, String)| Scope { name, read: true, write: at == 0 };
        let scopes = scopes.into_iter().enumerate().map(scope).collect();
        let query = Query { repository, scopes, version, keys };
        let (policy, tenant) = (self.policy.clone(), self.tenant.clone());
        let runtime = tokio::runtime::Handle::current();
        // A guest stays on its thread, and the caller's future may move.
        let explained = tokio::task::spawn_blocking(move || {
            runtime.block_on(LocalSet::new().run_until(async {
                let guest = policy.start(&tenant);
                guest.explain(tenant.clock.now_ms(), query).await
            }))
        });
        match explained.await {
            Ok(Ok(explanation)) => {
                serde_json::to_value(explanation).map_err(|error| Fault::Unavailable(error.to_string()))
            }
            Ok(Err(ExplainFault::Index(text))) => Err(Fault::Unavailable(text)),
            Ok(Err(ExplainFault::Guest(fault))) => Err(Fault::Unavailable(chain(&fault).to_string())),
            Err(_) => Err(Fault::Unavailable("the thread of the policy ended".to_owned())),
        }
    }
}

/// What a tenant's guest and asker have: digest and name alone.
fn in_use(policy: &Policy, tenant: &Tenant, kind: VersionedKind) -> Option<VersionInfo> {
    let (digest, name) = match kind {
        VersionedKind::Policy => (policy.digest().to_owned(), String::new()),
        VersionedKind::Rules => tenant.rules.status().map(|status| (status.digest, status.name))?,
        VersionedKind::Shadow => {
            tenant.rules.shadow_status().map(|status| (status.rules.digest, status.rules.name))?
        }
    };
    Some(VersionInfo { digest, name, ..VersionInfo::default() })
}

fn by_its_file() -> Fault {
    Fault::Unsupported("what this tenant uses is what the configuration names: change that file".to_owned())
}
