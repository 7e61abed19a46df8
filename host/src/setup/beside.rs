//! The parts of a server that is running, for a look at what it has. Nothing is claimed, recovered or
//! swept.

use std::{fs, sync::Arc};

use larder_common::TenantName;
use larder_index::Index;
use larder_rules::Rules;
use larder_storage::{
    Storage,
    fs::{FsStorage, budget::Budget},
};

use super::{
    database::{open_index, open_index_beside},
    metrics::Observed,
    outgoing::Outgoing,
    path_of,
    policy::StartingPolicy,
    rules::{load_rules, rules_in_force},
    storage::open_storage_beside,
    tenant::{Given, Holdings, Shared, assemble},
};
use crate::{
    auth::{Access, Authenticator, TokenError, TokenVerifier},
    config::{CapacityConfig, Config, Settings, StorageDriver, TenantConfig, TenantFiles},
    disk_pressure::DiskPressure,
    engine::Policy,
    error::StartError,
    tenant::Tenant,
};

/// Makes the data folder, the database and the storage's folder where they are missing: for what an operator
/// does before the first start. Nothing that is there is touched.
///
/// # Errors
/// See [`StartError`].
pub(crate) async fn make_if_missing(config: &Config) -> Result<(), StartError> {
    let settings = &config.settings;
    let (data, storage) = (&settings.data, &settings.storage);
    fs::create_dir_all(data).map_err(|source| StartError::Path { path: data.clone(), source })?;
    drop(open_index(config, &DiskPressure::new()).await?);
    let folder = path_of(storage.filesystem.path.as_ref());
    if storage.driver == StorageDriver::Filesystem && !folder.exists() {
        drop(FsStorage::open(folder, Budget::new(storage.buffer_bytes))?);
    }
    Ok(())
}

/// Opens a tenant's policy, index and storage. Without a name: those of the tenant `default`.
/// Returns `None` if there is no tenant of this name.
///
/// # Errors
/// See [`StartError`].
pub(crate) async fn beside(
    config: &Config,
    name: Option<&TenantName>,
) -> Result<Option<(Policy, Arc<Tenant>)>, StartError> {
    let server = &config.settings;
    let name = name.filter(|name| !name.is_default());
    let own = match name {
        None => None,
        Some(name) => match tenant_config(server, name)? {
            None => return Ok(None),
            own => own,
        },
    };
    let settings = own.as_ref().map_or(server, |own| &own.settings);
    let has_own_storage = own.as_ref().is_some_and(|own| own.own_storage.is_some());
    let outgoing = Outgoing::new(server)?;
    let index = open_index_beside(config).await?;
    let storage = open_storage_beside(if has_own_storage { settings } else { server }, &outgoing).await?;
    let (index, storage): (Arc<dyn Index>, Arc<dyn Storage>) = match name {
        None => (index, storage),
        Some(name) => (index.tenant(name)?, storage.tenant(name)?),
    };
    let shared =
        Box::pin(Shared::open(config, Some(storage.clone()), Some(index.clone()), &Observed::nothing()))
            .await?;
    let holdings = Holdings::new(settings, storage, index);
    let tenant = Box::pin(assemble(settings, &shared, &holdings, Given::default())).await?;
    // What was chosen for the server is not a tenant's that has a policy of its own.
    let own_file =
        settings.policy.component.as_ref().filter(|file| server.policy.component.as_ref() != Some(file));
    let component =
        own_file.map(|file| fs::read(file).map_err(|source| StartError::Path { path: file.clone(), source }));
    let policy = StartingPolicy::load(settings, component.transpose()?.as_deref())?.into_policy();
    Ok(Some((policy, Arc::new(tenant))))
}

/// The rules that a tenant of the running server has in force. Without a name: those of the tenant `default`.
///
/// # Errors
/// When they cannot be read or loaded, and there are none of before.
pub(crate) fn rules_beside(
    config: &Config,
    name: Option<&TenantName>,
) -> Result<Option<Arc<Rules>>, StartError> {
    match name.filter(|name| !name.is_default()) {
        None => rules_in_force(&config.settings),
        Some(name) => match tenant_config(&config.settings, name)? {
            Some(own) => load_rules(&own.settings),
            None => Ok(None),
        },
    }
}

/// Puts a tenant together for a replay: with this storage and index, these rules, and up to `max_bytes` (0:
/// any) in place of the limits of the configuration. Nobody has tokens for it.
///
/// # Errors
/// See [`StartError`].
pub(crate) async fn replayed(
    config: &Config,
    storage: Arc<dyn Storage>,
    index: Arc<dyn Index>,
    rules: Option<Arc<Rules>>,
    max_bytes: u64,
) -> Result<Tenant, StartError> {
    let mut config = config.clone();
    let configured = std::mem::take(&mut config.settings.capacity);
    config.settings.capacity = CapacityConfig {
        evict_at_percent: configured.evict_at_percent,
        evict_to_percent: configured.evict_to_percent,
        ..CapacityConfig::default()
    };
    let settings = &config.settings;
    let shared =
        Box::pin(Shared::open(&config, Some(storage.clone()), Some(index.clone()), &Observed::nothing()))
            .await?;
    let holdings = Holdings::new(settings, storage, index);
    let tokens = Some(TokenVerifier::of_caller(Arc::new(Nobody)));
    Box::pin(assemble(settings, &shared, &holdings, Given { tokens, rules, max_bytes, ..Given::default() }))
        .await
}

/// Accepts no token.
struct Nobody;

#[async_trait::async_trait]
impl Authenticator for Nobody {
    async fn authenticate(&self, _: &str) -> Result<Access, TokenError> {
        Err(TokenError::BadSignature)
    }
}

fn tenant_config(server: &Settings, name: &TenantName) -> Result<Option<TenantConfig>, StartError> {
    let Some(dir) = &server.tenants.dir else { return Ok(None) };
    let files = TenantFiles::read(dir, server)?;
    Ok(files.tenants.into_iter().find(|tenant| tenant.name == *name))
}
