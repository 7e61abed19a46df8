//! Runs components. There is one [`Engine`] for the process, a [`Policy`] for each loaded
//! component, and a [`Guest`] for each thread, whose instance is replaced when it fails.
//!
//! Stands above `interfaces/`, which has the types and calls of the cache world. Knows no route and
//! no driver.

mod deadline;
mod faults;
mod guest;
mod in_force;
mod instance;
mod instance_pool;
mod limits;
mod load;
mod release;

use std::{path::Path, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
pub(crate) use guest::{ExplainFault, Guest, GuestFailed, GuestTask};
pub(crate) use in_force::{CurrentGuest, PolicyInForce};
pub(crate) use instance_pool::InstancePool;
pub(crate) use limits::InstanceLimits;
pub use load::LoadError;
use wasmtime::component::Linker;

use deadline::Ticker;
use in_force::FaultCount;
use larder_rules::{
    compiled::{Kind, compile_or_reuse},
    core_module::componentize,
};

use crate::{
    inspect::{Inspection, NotAComponent},
    interfaces::{self, bindings::CachePre, state::State},
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
    pre: CachePre<State>,
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
        let component = compile_or_reuse(&self.inner, &bytes, cache, Kind::Policy)?;
        let linker = linker(&self.inner).map_err(LoadError::World)?;
        let pre = linker.instantiate_pre(&component).and_then(CachePre::new);
        let pre = pre.map_err(|error| misfit(file, error))?;
        Ok(Policy { pre, limits, engine: self.clone(), digest, faults: Arc::default() })
    }
}

impl Policy {
    /// Starts an instance and makes one call of it, to check that it works within its limits.
    ///
    /// # Errors
    /// [`LoadError::Start`] with the cause.
    pub(crate) async fn probe(&self, tenant: &Arc<Tenant>) -> Result<(), LoadError> {
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

/// The version of the cache world that components are taken of.
///
/// Only one while it begins with 0: each minor version changed records that cross the border (0.6.0 the
/// head of a request), so an older component needs bindings and conversions of its own, and not only
/// other names in the linker.
pub(crate) const WORLD_VERSION: &str = "0.6.0";

/// Why a component cannot be linked, by the version that it says it is made for.
fn misfit(component: &[u8], source: wasmtime::Error) -> LoadError {
    let inspected = match Inspection::of(component) {
        Err(error @ NotAComponent::Module(_)) => return LoadError::Module(error),
        inspected => inspected.ok(),
    };
    match inspected.as_ref().and_then(|inspected| inspected.version_of("larder:cache")) {
        Some(made_for) if made_for != WORLD_VERSION => {
            LoadError::OtherWorld { made_for: made_for.to_owned(), source }
        }
        _ => LoadError::World(source),
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
