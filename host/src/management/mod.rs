//! The management API of this server: what `larder-management` asks, answered with the parts of a
//! server that runs, or of one that is looked at from beside it.

mod listener;
mod local;
mod on_main;
mod tenant;
mod versions;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::Router;
use larder_common::{TenantName, causes::chain};
use larder_index::Index;
use larder_management::{
    Fault, MasterKey, Server, ServerStatus, SweepOutcome, Tenant as ManagedTenant, TenantInfo,
};
use parking_lot::Mutex;

pub use self::local::LocalManagement;
use self::tenant::OneTenant;
pub(crate) use self::{
    listener::{ManagementListener, open},
    on_main::{ManagementOnMain, respond},
    versions::Versioning,
};
use crate::{
    config::{Config, DatabaseDriver, StorageDriver},
    engine::PolicyInForce,
    registry::Registry,
    scrub::Scrubs,
    server::ConnectionGauge,
    setup,
    sweep::{SweepControl, SweepState},
    tenant::Tenant,
};

/// What answers the management API.
pub(crate) struct Managed {
    pub(crate) policy: PolicyInForce,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) registry: Option<Arc<Registry>>,
    pub(crate) config: Config,
    pub(crate) scrubs: Scrubs,
    /// Exchanges policy and rules of the tenant `default`.
    pub(crate) versions: Arc<Versioning>,
    /// Of a server that runs.
    pub(crate) live: Option<Live>,
}

/// What a server has that runs.
pub(crate) struct Live {
    pub(crate) started_ms: u64,
    pub(crate) sweeps: SweepControl,
    /// Set once it listens.
    pub(crate) connections: Arc<OnceLock<ConnectionGauge>>,
}

/// All surfaces, with the configured key.
pub(crate) fn router(managed: Managed) -> Router {
    let key = managed.config.settings.management.key.as_ref().map(|key| MasterKey::new(key.expose()));
    larder_management::router(Arc::new(managed), key)
}

#[async_trait]
impl Server for Managed {
    fn now_ms(&self) -> u64 {
        self.tenant.clock.now_ms()
    }

    fn index(&self) -> &dyn Index {
        &*self.tenant.index
    }

    fn tenants(&self) -> Vec<TenantInfo> {
        let settings = &self.config.settings.tenants;
        let default = TenantInfo { name: TenantName::default().to_string(), hosts: settings.hosts.clone() };
        if self.live.is_none() {
            let others = self.config.tenants().unwrap_or_default();
            let info =
                |tenant: crate::config::TenantSummary| TenantInfo { name: tenant.name, hosts: tenant.hosts };
            return std::iter::once(default).chain(others.into_iter().map(info)).collect();
        }
        let others = self.registry.iter().flat_map(|registry| registry.all());
        let info = |tenant: Arc<crate::registry::Registered>| TenantInfo {
            name: tenant.name.to_string(),
            hosts: tenant.hosts().map(str::to_owned).collect(),
        };
        std::iter::once(default).chain(others.map(info)).collect()
    }

    async fn tenant(&self, name: &TenantName) -> Result<Option<Arc<dyn ManagedTenant>>, Fault> {
        if name.is_default() {
            let (policy, tenant) = (self.policy.current(), self.tenant.clone());
            let (scrub, versions) = (self.scrubs.of(name), Some(self.versions.clone()));
            return Ok(Some(Arc::new(OneTenant { policy, tenant, scrub, versions })));
        }
        if self.live.is_none() {
            let opened = Box::pin(setup::beside(&self.config, Some(name))).await;
            let opened = opened.map_err(|error| Fault::Unavailable(chain(&error).to_string()))?;
            return Ok(opened.map(|(policy, tenant)| {
                let scrub = self.scrubs.of(name);
                let tenant: Arc<dyn ManagedTenant> =
                    Arc::new(OneTenant { policy, tenant, scrub, versions: None });
                tenant
            }));
        }
        let all = self.registry.as_ref().map(|registry| registry.all()).unwrap_or_default();
        let Some(registered) = all.into_iter().find(|tenant| tenant.name == *name) else { return Ok(None) };
        let tenant =
            registered.tenant().await.map_err(|error| Fault::Unavailable(chain(&error).to_string()))?;
        let (policy, scrub) = (registered.policy.current(), self.scrubs.of(name));
        Ok(Some(Arc::new(OneTenant { policy, tenant: tenant.clone(), scrub, versions: None })))
    }

    fn status(&self) -> ServerStatus {
        let settings = &self.config.settings;
        let live = self.live.as_ref();
        let usage = live.and_then(|live| live.connections.get()).map(ConnectionGauge::usage);
        ServerStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: live.map(|live| live.started_ms),
            database: match settings.database.driver {
                DatabaseDriver::Sqlite => "sqlite",
                DatabaseDriver::Postgres => "postgres",
                DatabaseDriver::Mysql => "mysql",
            }
            .to_owned(),
            storage: match settings.storage.driver {
                StorageDriver::Filesystem => "filesystem",
                StorageDriver::S3 => "s3",
                StorageDriver::Gcs => "gcs",
                StorageDriver::Azblob => "azblob",
            }
            .to_owned(),
            connections: usage.as_ref().map(|usage| usage.connections as u64),
            requests: usage.as_ref().map(|usage| usage.requests as u64),
            sweep: live.map(|live| status_of(&live.sweeps.state())),
        }
    }

    fn configuration(&self) -> serde_json::Value {
        // Secrets serialize as their mask.
        serde_json::to_value(&self.config.settings).unwrap_or_default()
    }

    async fn sweep(&self) -> Result<SweepOutcome, Fault> {
        let Some(live) = &self.live else {
            return Err(Fault::Unsupported("a sweep needs the running server: set LARDER_URL".to_owned()));
        };
        let done = live.sweeps.request().await;
        let done = done.ok_or_else(|| Fault::Unsupported("sweeps are off (retention.disable)".to_owned()))?;
        Ok(SweepOutcome { ended: true, succeeded: done })
    }
}

fn status_of(state: &Mutex<SweepState>) -> larder_management::SweepStatus {
    let SweepState { succeeded_ms, failed_ms, error } = state.lock().clone();
    larder_management::SweepStatus { succeeded_ms, failed_ms, error }
}
