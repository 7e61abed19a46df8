//! Runs components. There is one [`Engine`] for the process, a [`Policy`] for each loaded
//! component, and a [`Guest`] for each thread, whose instance is replaced when it fails.
//!
//! Stands above `interfaces/`, which has the types and calls of the cache world. Knows no route and
//! no driver.

mod deadline;
mod exports;
mod faults;
mod guest;
mod in_force;
mod instance;
mod instance_pool;
mod limits;
mod load;
mod release;
mod worlds;

use std::{path::Path, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
pub(crate) use guest::{ExplainFault, Guest, GuestFailed, GuestTask};
pub(crate) use in_force::{CurrentGuest, PolicyInForce, RuledTenant};
pub(crate) use instance_pool::InstancePool;
pub(crate) use limits::InstanceLimits;
pub use load::LoadError;
use wasmtime::component::{InstancePre, Linker};
pub(crate) use worlds::World;

use deadline::Ticker;
use exports::ExportPlaces;
use in_force::FaultCount;
use larder_rules::{
    compiled::{CompileError, Kind, compile_or_reuse},
    core_module::componentize,
};

use crate::{
    inspect::{Inspection, NotAComponent},
    interfaces::{self, state::State},
    tenant::Tenant,
};

/// The wasm engine of the process.
#[derive(Clone)]
pub(crate) struct Engine {
    inner: wasmtime::Engine,
    _ticker: Arc<Ticker>,
}

/// A loaded policy component, ready to be instantiated on any thread.
#[derive(Clone)]
pub(crate) struct Policy {
    pre: InstancePre<State>,
    exports: ExportPlaces,
    limits: InstanceLimits,
    engine: Engine,
    /// The SHA-256 of the component, in hexadecimal digits.
    digest: Arc<str>,
    faults: Arc<FaultCount>,
}

impl Engine {
    /// Starts the engine, and the thread that measures how long components run, to within `tick`.
    ///
    /// # Errors
    /// When the machine cannot run wasm, or the thread cannot be started.
    pub(crate) fn start(tick: Duration) -> Result<Self, LoadError> {
        let inner = compiling_engine().map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&inner, tick).map_err(LoadError::Ticker)?;
        Ok(Self { inner, _ticker: Arc::new(ticker) })
    }

    /// Compiles a component, or the one that is made of a core module, or loads it from `cache`, a directory
    /// that only this server writes, and links it to the host.
    ///
    /// # Errors
    /// When it is not a component, or does not fit the cache world.
    pub(crate) fn load(
        &self,
        file: &[u8],
        cache: Option<&Path>,
        limits: InstanceLimits,
    ) -> Result<Policy, LoadError> {
        let digest = hex::encode(digest(&SHA256, file)).into();
        let module = |error| LoadError::Module(NotAComponent::Module(Some(error)));
        let bytes = componentize(file).map_err(module)?;
        let world = World::of(&inspect(file)?).map_err(|made_for| LoadError::OtherWorld { made_for })?;
        let renamed = world.with_newest_imports(&bytes);
        let bytes = renamed.map_err(|error| CompileError::NotAComponent(error.into()))?;
        let component = compile_or_reuse(&self.inner, &bytes, cache, Kind::Policy)?;
        let misfit = |source| LoadError::World { made_for: world.to_string(), source };
        let linker = linker(&self.inner).map_err(misfit)?;
        let pre = linker.instantiate_pre(&component).map_err(misfit)?;
        let exports = ExportPlaces::of(&component, world).map_err(misfit)?;
        Ok(Policy { pre, exports, limits, engine: self.clone(), digest, faults: Arc::default() })
    }
}

impl Policy {
    /// Starts an instance and makes one call of it, to check that it works within its limits, and beside the
    /// tenant's rules.
    ///
    /// # Errors
    /// [`LoadError::Start`] with the cause; [`LoadError::AsksNoRules`].
    pub(crate) async fn probe(&self, tenant: &Arc<Tenant>) -> Result<(), LoadError> {
        if !self.asks_rules() && tenant.rules.decide_requests() {
            return Err(LoadError::AsksNoRules);
        }
        instance::probe(self, tenant).await.map_err(LoadError::Start)
    }

    /// Starts a guest on this thread, inside its `LocalSet`, whose instance stays.
    #[must_use]
    pub(crate) fn start(&self, tenant: &Arc<Tenant>) -> Guest {
        let (guest, task) = Guest::new(self.clone(), tenant.clone(), None);
        tokio::task::spawn_local(task.run());
        guest
    }

    /// Makes a guest that has an instance while there are calls, within the limits of the pool. The
    /// task must run on the thread of the instances, inside a `LocalSet`.
    #[must_use]
    pub(crate) fn pooled(&self, tenant: &Arc<Tenant>, pool: &Arc<InstancePool>) -> (Guest, GuestTask) {
        Guest::new(self.clone(), tenant.clone(), Some(pool.clone()))
    }

    /// The SHA-256 of the component, in hexadecimal digits.
    #[must_use]
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns whether it can ask all that the operator's rules decide about requests.
    #[must_use]
    pub(crate) fn asks_rules(&self) -> bool {
        self.exports.asks_rules
    }

    /// The engine that runs it.
    #[must_use]
    pub(crate) fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// The same component, with other limits. Its faults are its own.
    #[must_use]
    pub(crate) fn with_limits(&self, limits: InstanceLimits) -> Self {
        Self { limits, faults: Arc::default(), ..self.clone() }
    }

    /// Waits until so many of its instances have failed since it was loaded.
    pub(crate) async fn fails(&self, count: u32) {
        self.faults.reaches(count).await;
    }
}

/// Makes an engine whose clock stands still: what it compiles runs in any of its settings.
///
/// # Errors
/// When the machine cannot run wasm.
pub(crate) fn compiling_engine() -> wasmtime::Result<wasmtime::Engine> {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model_async(true);
    config.epoch_interruption(true);
    // A trap's error names up to 16 frames; they cost nothing before a trap.
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    wasmtime::Engine::new(&config)
}

/// Returns what a component, or the one that is made of a core module, says about itself. What is damaged
/// says nothing: compiling it tells why.
fn inspect(file: &[u8]) -> Result<Inspection, LoadError> {
    match Inspection::of(file) {
        Err(error @ NotAComponent::Module(_)) => Err(LoadError::Module(error)),
        Err(NotAComponent::Other(_)) => Ok(Inspection::default()),
        Ok(inspected) => Ok(inspected),
    }
}

/// Links the cache world and WASI. Of WASI a component gets clocks, random numbers and closed
/// standard streams, but no files, network or environment.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    interfaces::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// How often a component that computes is interrupted, in a server with one tenant.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// The same where several tenants share a thread.
pub(crate) const SHARED_TICK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
