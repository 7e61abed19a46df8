//! Puts a server together: the parts that the caller brings, and the configuration for all others.

use std::sync::{Arc, OnceLock};

use larder_index::Index;
use larder_metrics::Source;
use larder_otlp::Exporter;
use larder_storage::Storage;

use crate::{
    auth::Authenticator,
    config::{Config, InheritedListener},
    descriptors::{Shares, raise_limit},
    error::StartError,
    gauges::Gauges,
    larder::{Exchanges, Larder},
    management::{self, Live, Managed, ManagementListener, ManagementOnMain, Versioning},
    scrub::Scrubs,
    server::ServedTenants,
    setup::{
        self,
        claim::{StartClaim, WantedListener},
    },
    sweep::{Janitor, JanitorWork, OtherTenants, sweep_control},
    versions::Versions,
};

/// Puts a [`Larder`] together. Made by [`Larder::builder`].
pub struct Builder {
    config: Config,
    // What the caller brings in place of what the configuration says.
    storage: Option<Arc<dyn Storage>>,
    index: Option<Arc<dyn Index>>,
    authenticator: Option<Arc<dyn Authenticator>>,
    policy: Option<Vec<u8>>,
    rules: Option<larder_rules::Source>,
    listener: WantedListener,
}

impl Larder {
    /// Begins to put a server together. What the builder is not given is made as the configuration
    /// says.
    #[must_use]
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            storage: None,
            index: None,
            authenticator: None,
            policy: None,
            rules: None,
            listener: WantedListener::Configured,
        }
    }
}

impl Builder {
    /// Keeps objects in this storage. Its promises are those of the [`Storage`] trait.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Keeps entries in this index. Its promises are those of the [`Index`] trait.
    #[must_use]
    pub fn index(mut self, index: Arc<dyn Index>) -> Self {
        self.index = Some(index);
        self
    }

    /// Has this verify the tokens of requests, in place of what the configuration trusts.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// Runs this policy: a WebAssembly component of the cache world (`wit/`), in binary form.
    #[must_use]
    pub fn policy(mut self, component: Vec<u8>) -> Self {
        self.policy = Some(component);
        self
    }

    /// Asks these rules, for the tenant `default`: in place of `rules.file` and of what was chosen by a
    /// command. What holds where they fail is `rules.on_failure` of the configuration.
    #[must_use]
    pub fn rules(mut self, rules: larder_rules::Source) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Accepts on this listener, which a supervisor has opened, in place of `server.listen`.
    #[must_use]
    pub fn listener(self, listener: impl Into<InheritedListener>) -> Self {
        self.listeners(vec![listener.into()])
    }

    /// Accepts on these listeners, which a supervisor has opened: on the one at the address of
    /// `server.listen`, else the first, for the server, and on those at addresses of `tenant.listen` for
    /// that tenant. The others are closed. None at all: as `server.listen` says.
    #[must_use]
    pub fn listeners(mut self, listeners: Vec<InheritedListener>) -> Self {
        self.listener = WantedListener::Given(listeners);
        self
    }

    /// Listens nowhere, and for no tenant: all requests come by [`Larder::service`].
    #[must_use]
    pub fn without_listener(mut self) -> Self {
        self.listener = WantedListener::Without;
        self
    }

    /// Starts the server. It accepts connections when this returns; earlier ones wait in the
    /// backlog.
    ///
    /// The data directory is locked first. While another Larder has it, this one shares its
    /// listener and waits for up to a minute, so that a restart refuses nobody. Only then are
    /// storage and database opened.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(self) -> Result<Larder, StartError> {
        let Self { config, storage, index, authenticator, policy, rules, listener } = self;
        let settings = &config.settings;
        let observed = setup::Observed::new(settings, storage.is_some(), index.is_some());
        let shares = Shares::divide(raise_limit(), setup::wanted(&config))?;
        let is_embedded = matches!(listener, WantedListener::Without);
        let tls = setup::server_tls(settings)?;
        let claim = StartClaim::begin(&settings.data, &settings.server, listener)?;
        // Before the wait: a new policy takes a second or more to compile.
        let policy = setup::StartingPolicy::load(settings, policy.as_deref())?;
        let rules = setup::StartingRules::load(settings, rules)?;
        let (lock, listener) = claim.complete(&settings.data, &settings.server).await?;
        let otlp = setup::otlp(settings, &observed)?;
        let tracer = otlp.as_ref().and_then(Exporter::tracer).cloned();
        let server = setup::server(settings, shares, listener, (tls, &observed), tracer)?;
        let mut shared = Box::pin(setup::Shared::open(&config, storage, index, &observed)).await?;
        shared.trace(settings)?;
        let (trace, shared) = (shared.trace_files(), Arc::new(shared));
        let tenant = Arc::new(setup::tenant(settings, &shared, authenticator, rules.rules()).await?);
        let setup::ProvenPolicy { policy, exchange, handle } = Box::pin(policy.prove(&tenant)).await?;
        let (rules_exchange, rules) = rules.follow(&tenant.rules, &policy);
        let (shadow, of_shadow) = setup::follow_shadow(settings, &tenant.rules);
        let exchanges = Exchanges { policy: handle, rules, shadow: of_shadow };
        tenant.durability.recover(&*tenant.index, tenant.clock.now_ms()).await?;
        setup::claim_storage(&tenant, &config).await;
        let (tenancy, others) = match setup::tenants(settings, &shared, &policy).await? {
            Some(setup::Tenants { tenancy, loader, made }) => {
                let registry = tenancy.registry.clone();
                (Some(tenancy), Some(OtherTenants { registry, reload: loader, made }))
            }
            None => (None, None),
        };
        let schedule = setup::schedule(settings);
        let setup::Observed { metrics, health } = observed;
        // Both have answered: the start needs them.
        health.database_answered();
        health.storage_answered();
        let (sweeps, requests) = sweep_control();
        let work = JanitorWork {
            policy: policy.clone(),
            exchange,
            rules_exchange,
            shadow: (shadow, Versions::of_shadow_rules(&settings.data)),
            tenant: tenant.clone(),
            others,
            schedule,
            requests,
            health: health.clone(),
        };
        let janitor = Janitor::start(work).map_err(StartError::Thread)?;
        let rules = tenant.rules.clone();
        let connections = Arc::new(OnceLock::new());
        let live = Live { started_ms: tenant.clock.now_ms(), sweeps, connections: Arc::clone(&connections) };
        let registry = tenancy.as_ref().map(|tenancy| Arc::clone(&tenancy.registry));
        let has_key = settings.management.key.is_some();
        let (socket, tls) = (management::open(&config, is_embedded)?, setup::management_tls(settings)?);
        let (policy_of, tenant_of) = (policy.clone(), tenant.clone());
        let managed = Managed {
            policy: policy_of,
            tenant: tenant_of,
            registry,
            config: config.clone(),
            scrubs: Scrubs::default(),
            versions: Versioning::new(&config, Some(exchanges.clone())),
            live: Some(live),
        };
        let router = management::router(managed);
        let on_main = has_key.then(|| ManagementOnMain::new(router.clone()));
        let router = router.merge(larder_metrics::routes(metrics.clone(), health.clone()));
        let served = ServedTenants { policy, tenant, tenancy: tenancy.clone(), management: on_main };
        let running = server.start(&served).map_err(StartError::Thread)?;
        let _ = connections.set(running.connection_gauge());
        let listen = |socket| ManagementListener::start(socket, tls, router).map_err(StartError::Thread);
        let management = socket.map(listen).transpose()?;
        let (tls, gauge) = (running.tls().cloned(), running.connection_gauge());
        let gauges = Gauges::new(settings, &served, tls, gauge, exchanges.clone());
        let gauges: Arc<dyn Source> = Arc::new(gauges);
        metrics.set_source(&gauges);
        Ok(Larder {
            running,
            janitor,
            management,
            exchanges,
            shares,
            tenancy,
            metrics,
            _gauges: gauges,
            health,
            rules,
            trace,
            otlp,
            _lock: lock,
        })
    }
}
