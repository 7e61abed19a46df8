//! The policy component that a server starts with.

use std::sync::Arc;

use larder_common::{causes::chain, clock::Clock};

use crate::{
    config::Settings,
    engine::{Engine, InstanceLimits, LoadError, Policy, PolicyInForce, SHARED_TICK, TICK},
    error::StartError,
    exchange::{
        Exchange, ExchangeHandle, Held, PolicyExchange, PolicyLoader, Source, Unreadable, Wanted, known,
    },
    tenant::Tenant,
    versions::{InForce, Versions},
};

/// The policy component that is built in.
pub const BUILT_IN_POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));
/// What it is called beside others.
const BUILT_IN_NAME: &str = "larder.wasm";

/// A policy that is loaded, and not tried yet.
pub(crate) struct StartingPolicy {
    loader: PolicyLoader,
    /// `None`: the embedding program has brought the policy.
    source: Option<Source>,
    wanted: Wanted,
    policy: Policy,
}

/// A policy that works.
pub(crate) struct ProvenPolicy {
    pub(crate) policy: PolicyInForce,
    pub(crate) exchange: Exchange<PolicyExchange>,
    pub(crate) handle: ExchangeHandle,
}

impl StartingPolicy {
    /// Loads `component`, else the chosen version, the configured file or the built-in one. If that
    /// cannot be loaded, or has gone back by itself: what was in force before.
    ///
    /// # Errors
    /// When it cannot be read or loaded, and there is nothing before it.
    pub(crate) fn load(settings: &Settings, component: Option<&[u8]>) -> Result<Self, StartError> {
        let loader = PolicyLoader {
            engine: Engine::start(if settings.tenants.dir.is_some() { SHARED_TICK } else { TICK })?,
            cache: settings.data.join("compiled"),
            limits: InstanceLimits::from(&settings.policy),
        };
        if let Some(component) = component {
            let version = Source::version(component, "");
            let wanted = Wanted { content: component.to_vec(), version, source: "call".to_owned() };
            let policy = loader.load(component)?;
            return Ok(Self { loader, source: None, wanted, policy });
        }
        let source = Source {
            versions: Versions::of_policy(&settings.data),
            file: settings.policy.component.clone(),
            built_in: (BUILT_IN_POLICY, BUILT_IN_NAME),
        };
        let wanted =
            source.wanted().map_err(|Unreadable { path, source }| StartError::Path { path, source })?;
        let rejection = source.versions.rejection(&wanted.version);
        let load = |content: &[u8]| loader.load(content);
        let (wanted, policy) = match rejection {
            None => match load(&wanted.content) {
                Ok(policy) => (wanted, policy),
                Err(error) => earlier(&source, &wanted, &chain(&error), load).ok_or(error)?,
            },
            Some(reason) => match earlier(&source, &wanted, &reason, load) {
                Some(found) => found,
                None => {
                    let policy = load(&wanted.content)?;
                    (wanted, policy)
                }
            },
        };
        if wanted.source == known::CHOSEN && source.file.is_some() {
            tracing::warn!(
                "a version that was chosen with `larder policy use` is in force, and not policy.component; `larder policy use --configured` ends that"
            );
        }
        Ok(Self { loader, source: Some(source), wanted, policy })
    }

    /// The policy, for who does not serve.
    pub(crate) fn into_policy(self) -> Policy {
        self.policy
    }

    /// Tries the policy with one call. If that fails: what was in force before.
    ///
    /// # Errors
    /// When it fails, and there is nothing before it that works.
    pub(crate) async fn prove(self, tenant: &Arc<Tenant>) -> Result<ProvenPolicy, StartError> {
        let Self { loader, source, wanted, policy } = self;
        let (wanted, policy) = match policy.probe(tenant).await {
            Ok(()) => (wanted, policy),
            Err(error) => proven_earlier(&loader, source.as_ref(), &wanted, tenant, error).await?,
        };
        let Wanted { content, version, source: from } = wanted;
        let record = InForce { version, source: from, since_ms: Clock::system().now_ms() };
        if let Some(source) = &source {
            remember(source, &record, &content);
        }
        let in_force = PolicyInForce::new(policy.clone());
        let exchanged = PolicyExchange { loader, in_force: in_force.clone(), tenant: tenant.clone() };
        let (exchange, handle) = Exchange::new(exchanged, source, Held { record, loaded: policy });
        Ok(ProvenPolicy { policy: in_force, exchange, handle })
    }
}

/// Returns the latest of the earlier versions that loads.
fn earlier(
    source: &Source,
    wanted: &Wanted,
    reason: &str,
    load: impl Fn(&[u8]) -> Result<Policy, LoadError>,
) -> Option<(Wanted, Policy)> {
    source.earlier(wanted).into_iter().find_map(|(known, content)| {
        let policy = load(&content).ok()?;
        warn_of_earlier(wanted, &known, reason);
        Some((Wanted { content, version: known.version, source: known.source }, policy))
    })
}

/// Returns the latest of the earlier versions that works, else the error.
async fn proven_earlier(
    loader: &PolicyLoader,
    source: Option<&Source>,
    wanted: &Wanted,
    tenant: &Arc<Tenant>,
    error: LoadError,
) -> Result<(Wanted, Policy), StartError> {
    for (known, content) in source.map(|source| source.earlier(wanted)).unwrap_or_default() {
        if let Ok(policy) = loader.load(&content)
            && policy.probe(tenant).await.is_ok()
        {
            warn_of_earlier(wanted, &known, &chain(&error));
            return Ok((Wanted { content, version: known.version, source: known.source }, policy));
        }
    }
    Err(error.into())
}

fn warn_of_earlier(wanted: &Wanted, known: &InForce, reason: &str) {
    tracing::error!(
        wanted = wanted.version.short(),
        source = wanted.source,
        reason,
        version = known.version.short(),
        "the wanted policy cannot be used: one that was in force before is; `larder policy status` has more"
    );
}

/// Writes down what is in force. The built-in version alone leaves no trace.
fn remember(source: &Source, record: &InForce, content: &[u8]) {
    let versions = &source.versions;
    if record.source == known::BUILT_IN && versions.history().is_empty() {
        return;
    }
    let stored = if record.source == known::BUILT_IN {
        Ok(())
    } else {
        versions.store(content, &record.version.name).map(drop)
    };
    if let Err(error) = stored.and_then(|()| versions.record(record.clone())) {
        tracing::warn!(%error, "cannot write down which policy is in force");
    }
}
