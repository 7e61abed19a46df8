//! The tenants of a directory: read at the start, and again whenever a file there has changed.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use larder_common::{FileStamp, TenantName, causes::chain};
use larder_rules::Rules;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};

use super::{
    listener_tls::{tenant_files, tenant_tls},
    rules::{load_rules, load_shadow},
    tenant::{Given, Holdings, Shared, assemble},
};
use crate::{
    auth::SKIP_WARNING,
    config::{
        ConfigError, RemovedTenant, Settings, Storage, TenantConfig, TenantFiles, TenantSection, host_name,
        removed_tenants,
    },
    engine::{InstanceLimits, InstancePool, LoadError, PolicyInForce, RuledTenant},
    error::StartError,
    registry::{Description, MakeTenant, Registered, Registry, Reload, Removal, Served, SiteTls},
    server::Tenancy,
    tenant::{CpuBudget, GuestMemory, SharedResources, Tenant},
};

/// Keeps the registry as the directory says.
pub(crate) struct TenantLoader {
    dir: PathBuf,
    server: Settings,
    shared: Arc<Shared>,
    /// The policy of the server, for tenants without one of their own. They follow its exchange.
    policy: PolicyInForce,
    memory: Arc<GuestMemory>,
    registry: Arc<Registry>,
    made: mpsc::UnboundedSender<Arc<Registered>>,
    state: Mutex<Loaded>,
}

/// What was loaded.
#[derive(Default)]
struct Loaded {
    /// The files as they were when they were read.
    stamps: Stamps,
    /// The number of the server's policy then: a tenant may have been refused for that.
    policy: u64,
    tenants: BTreeMap<TenantName, Known>,
    /// Where the entries of tenants are that had a request, by name.
    holdings: HashMap<TenantName, KnownHoldings>,
}

/// Where the entries of a tenant are, once it had a request.
#[derive(Clone, Default)]
struct KnownHoldings {
    /// The storage of its own; `None`: the server's.
    own_storage: Option<Storage>,
    cell: Arc<OnceCell<Holdings>>,
}

/// A tenant that is served.
#[derive(Clone)]
struct Known {
    /// Its file, its component and its certificate, as they were when they were read.
    stamps: Stamps,
    registered: Arc<Registered>,
    /// Where its rules decide about requests.
    _ruled: Option<Arc<RuledTenant>>,
}

/// What tells that a file is another one, by path.
type Stamps = BTreeMap<PathBuf, Option<FileStamp>>;

/// A server with several tenants, and what keeps them as the directory says.
pub(crate) struct Tenants {
    pub(crate) tenancy: Tenancy,
    pub(crate) loader: Arc<TenantLoader>,
    /// The tenants that were made, each once.
    pub(crate) made: mpsc::UnboundedReceiver<Arc<Registered>>,
}

/// Reads the directory. `None` if there is none configured.
///
/// # Errors
/// When the directory cannot be read. A file with a fault is logged, and its tenant is not served.
pub(crate) async fn tenants(
    settings: &Settings,
    shared: &Arc<Shared>,
    policy: &PolicyInForce,
) -> Result<Option<Tenants>, StartError> {
    let section = &settings.tenants;
    let Some(dir) = &section.dir else { return Ok(None) };
    let hosts = section.hosts.iter().filter_map(|host| host_name(host).ok());
    let registry = Arc::new(Registry::new(hosts));
    let (made, made_tenants) = mpsc::unbounded_channel();
    let memory = usize::try_from(section.guest_memory_bytes).unwrap_or(usize::MAX);
    let loader = Arc::new(TenantLoader {
        dir: dir.clone(),
        server: settings.clone(),
        shared: shared.clone(),
        policy: policy.clone(),
        memory: GuestMemory::new(memory),
        registry: registry.clone(),
        made,
        state: Mutex::default(),
    });
    // Boxed: it has all settings of a tenant in it.
    Box::pin(loader.load()).await?;
    let pool = InstancePool::new(section.max_instances, Duration::from_millis(section.idle_ms));
    Ok(Some(Tenants { tenancy: Tenancy { registry, pool }, loader, made: made_tenants }))
}

impl TenantLoader {
    /// Reads the directory, if anything in it has changed, and serves what it says from now on. A
    /// tenant whose file has a fault stays as it was.
    async fn load(self: &Arc<Self>) -> Result<(), ConfigError> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.read()).await;
        let Some((files, stamps)) = read.unwrap_or(Ok(None))? else { return Ok(()) };
        for (path, fault) in &files.faults {
            tracing::error!(file = %path.display(), error = chain(fault), "a tenant's file has a fault; the tenant stays as it was");
        }
        let mut tenants = BTreeMap::new();
        for path in files.faults.iter().map(|(path, _)| path) {
            if let Some((name, known)) = self.known_of(path) {
                tenants.insert(name, known);
            }
        }
        for config in files.tenants {
            let name = config.name.clone();
            if files.removed.iter().any(|removed| removed.name == name) {
                tracing::error!(tenant = %name, "the tenant is being removed; remove its file, or wait until it is gone");
            } else if let Some(known) = self.keep_or_make(config).await {
                tenants.insert(name, known);
            }
        }
        self.serve(tenants, stamps);
        Ok(())
    }

    /// Reads all files; `None` if none has changed.
    fn read(&self) -> Result<Option<(TenantFiles, Stamps)>, ConfigError> {
        let (stamps, number) = (self.stamps(), self.policy.number());
        let mut state = self.state.lock();
        let is_same_policy = std::mem::replace(&mut state.policy, number) == number;
        if is_same_policy && state.stamps == stamps && !stamps.is_empty() {
            return Ok(None);
        }
        drop(state);
        Ok(Some((TenantFiles::read(&self.dir, &self.server)?, stamps)))
    }

    /// Returns the stamps of the directory, of each file in it, and of the components and certificates
    /// in use.
    fn stamps(&self) -> Stamps {
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let state = self.state.lock();
        let components = state.tenants.values().flat_map(|known| known.stamps.keys().cloned());
        let all = files.chain(components).chain([self.dir.clone()]);
        all.map(|path| (path.clone(), FileStamp::of(&path))).collect()
    }

    fn file_of(&self, name: &TenantName) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    fn known_of(&self, path: &Path) -> Option<(TenantName, Known)> {
        let name: TenantName = path.file_stem()?.to_str()?.parse().ok()?;
        let known = self.state.lock().tenants.get(&name)?.clone();
        Some((name, known))
    }

    /// Returns the tenant as it is served, if its files have not changed, or a new one. Returns what
    /// was there before if the new one has a fault.
    async fn keep_or_make(self: &Arc<Self>, config: TenantConfig) -> Option<Known> {
        let known = self.state.lock().tenants.get(&config.name).cloned();
        let Settings { policy, rules, .. } = &config.settings;
        let of_rules = [rules.file.clone(), rules.shadow.clone()];
        let paths = [Some(self.file_of(&config.name)), policy.component.clone()].into_iter().chain(of_rules);
        let tls = tenant_files(&config.own.tls, &self.server);
        let tls = tls.iter().flat_map(|files| files.paths().map(Path::to_owned));
        let paths = paths.flatten().chain(tls);
        let stamps: Stamps = paths.map(|path| (path.clone(), FileStamp::of(&path))).collect();
        if known.as_ref().is_some_and(|known| known.stamps == stamps) {
            return known;
        }
        let name = config.name.clone();
        if let Some(warning) = config.exposure() {
            tracing::warn!(tenant = %name, "{warning}");
        }
        if config.settings.auth.skip_validation {
            tracing::warn!(tenant = %name, "{SKIP_WARNING}");
        }
        match self.make(config).await {
            Ok((registered, ruled)) => {
                tracing::info!(tenant = %name, is_new = known.is_none(), "the tenant is served");
                Some(Known { stamps, registered, _ruled: ruled.map(Arc::new) })
            }
            Err(error) => {
                tracing::error!(tenant = %name, error = chain(&error), "the tenant cannot be served as its file says");
                known
            }
        }
    }

    /// Makes a tenant. Beside it: that its rules decide about requests, where they do.
    async fn make(
        self: &Arc<Self>,
        config: TenantConfig,
    ) -> Result<(Arc<Registered>, Option<RuledTenant>), StartError> {
        let TenantConfig { name, own, settings, own_storage } = config;
        let has_own_policy = settings.policy.component != self.server.policy.component;
        self.shared.check_tokens(&settings)?;
        if own_storage.is_some() {
            self.shared.check_own_storage(&name, &settings)?;
        }
        let policy = self.policy_of(&settings).await?;
        let (rules, shadow) = rules_of(&settings).await?;
        let ruled = rules.as_ref().filter(|rules| rules.decide_requests()).map(|_| policy.add_ruled());
        if ruled.is_some() && !policy.current().asks_rules() {
            return Err(LoadError::AsksNoRules.into());
        }
        let cpu = Arc::new(CpuBudget::new(own.cpu_percent));
        let max_bytes = own.max_bytes;
        let site = tenant_tls(&name, &own.tls, &self.server)?;
        let description = describe(&name, own, &settings, site);
        let holdings = self.holdings_of(&name, own_storage);
        let resources = SharedResources { cpu, memory: self.memory.clone() };
        let shared = self.shared.clone();
        let maker = Maker {
            name: name.clone(),
            settings,
            rules,
            shadow,
            shared,
            holdings: holdings.clone(),
            resources,
            max_bytes,
        };
        let registered = Registered::new(description, policy, Box::new(maker), self.made.clone());
        if has_own_policy {
            registered.policy.current().probe(registered.tenant().await?).await?;
        }
        self.state.lock().holdings.insert(name, holdings);
        Ok((registered, ruled))
    }

    /// Returns where the entries of a tenant are: as before, unless its storage has changed.
    fn holdings_of(&self, name: &TenantName, own_storage: Option<Storage>) -> KnownHoldings {
        let known = self.state.lock().holdings.get(name).cloned();
        let same = known.filter(|known| known.own_storage == own_storage);
        same.unwrap_or_else(|| KnownHoldings { own_storage, cell: Arc::default() })
    }

    /// Compiles the tenant's component, or shares that of the server.
    async fn policy_of(self: &Arc<Self>, settings: &Settings) -> Result<PolicyInForce, StartError> {
        let limits = InstanceLimits::from(&settings.policy);
        let file = match &settings.policy.component {
            Some(file) if self.server.policy.component.as_ref() != Some(file) => file.clone(),
            _ => return Ok(self.policy.with_limits(limits)),
        };
        let (engine, cache) = (self.policy.current().engine(), self.server.data.join("compiled"));
        let load = move || {
            let component = fs::read(&file).map_err(|source| StartError::Path { path: file, source })?;
            Ok(PolicyInForce::new(engine.load(&component, Some(&cache), limits)?))
        };
        match tokio::task::spawn_blocking(load).await {
            Ok(policy) => policy,
            Err(panicked) => Err(StartError::Thread(panicked.into())),
        }
    }

    /// Opens what a removed tenant has, to be deleted.
    async fn removal(&self, removed: RemovedTenant) -> Result<Removal, StartError> {
        let RemovedTenant { name, mark, storage } = removed;
        let own = storage?.map(|storage| Settings { storage, ..self.server.clone() });
        let storage = self.shared.storage_of(&name, own.as_ref()).await?;
        let index = self.shared.index.tenant(&name)?;
        Ok(Removal { name, storage, index, mark })
    }

    /// Serves these tenants from now on.
    fn serve(&self, tenants: BTreeMap<TenantName, Known>, stamps: Stamps) {
        let mut state = self.state.lock();
        for name in state.tenants.keys().filter(|name| !tenants.contains_key(*name)) {
            tracing::info!(tenant = %name, "the tenant is not served any more");
        }
        // Requests in flight may still use those of a tenant that is gone.
        state.holdings.retain(|name, known| tenants.contains_key(name) || Arc::strong_count(&known.cell) > 1);
        state.stamps = stamps;
        self.registry.replace(Served::new(tenants.values().map(|known| known.registered.clone())));
        state.tenants = tenants;
    }
}

#[async_trait]
impl Reload for TenantLoader {
    async fn reload(self: Arc<Self>) {
        if let Err(error) = Box::pin(self.load()).await {
            tracing::error!(
                error = chain(&error),
                "the tenants' directory cannot be read; all stay as they were"
            );
        }
    }

    async fn removals(&self) -> Vec<Removal> {
        let mut removals = Vec::new();
        // A directory that cannot be read is logged by each reload.
        for removed in removed_tenants(&self.dir, &self.server).unwrap_or_default() {
            let name = removed.name.clone();
            match self.removal(removed).await {
                Ok(removal) => removals.push(removal),
                Err(error) => {
                    tracing::error!(tenant = %name, error = chain(&error), "cannot remove the tenant yet, retrying");
                }
            }
        }
        removals
    }
}

/// Reads and compiles the rules of a tenant, and those in the shadow.
async fn rules_of(settings: &Settings) -> Result<(Option<Arc<Rules>>, Option<Arc<Rules>>), StartError> {
    if settings.rules.file.is_none() && settings.rules.shadow.is_none() {
        return Ok((None, None));
    }
    let settings = settings.clone();
    let load = move || Ok((load_rules(&settings)?, load_shadow(&settings)));
    match tokio::task::spawn_blocking(load).await {
        Ok(rules) => rules,
        Err(panicked) => Err(StartError::Thread(panicked.into())),
    }
}

/// What the registry knows of a tenant.
fn describe(
    name: &TenantName,
    own: TenantSection,
    settings: &Settings,
    site: Option<SiteTls>,
) -> Description {
    let issuers = settings.auth.issuers.iter().filter(|_| own.by_issuer);
    Description {
        hosts: own.hosts,
        listen: own.listen,
        site,
        issuers: issuers.map(|issuer| issuer.issuer.clone()).collect(),
        base_url: settings.server.base_url.clone(),
        max_requests: own.max_requests,
        max_connections: Some(own.max_connections).filter(|count| *count > 0),
        name: name.clone(),
    }
}

/// Makes one tenant.
struct Maker {
    name: TenantName,
    settings: Settings,
    rules: Option<Arc<Rules>>,
    /// Those in the shadow.
    shadow: Option<Arc<Rules>>,
    shared: Arc<Shared>,
    /// Shared with whom the tenant was before its file changed.
    holdings: KnownHoldings,
    resources: SharedResources,
    /// Most bytes that it may have stored; 0: any.
    max_bytes: u64,
}

#[async_trait]
impl MakeTenant for Maker {
    async fn make(&self) -> Result<Tenant, StartError> {
        let Self { name, settings, rules, shadow, shared, holdings, resources, max_bytes } = self;
        let has_own = holdings.own_storage.is_some();
        let make = || Holdings::of_tenant(name, settings, has_own, shared);
        let holdings = holdings.cell.get_or_try_init(make).await?;
        let (rules, shadow, resources) = (rules.clone(), shadow.clone(), Some(resources.clone()));
        let given = Given { tokens: None, rules, shadow, resources, max_bytes: *max_bytes };
        assemble(settings, shared, holdings, given).await
    }
}
