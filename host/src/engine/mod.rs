//! What runs components: the engine (one for the process), a policy (one for each component that is loaded), and guests (one
//! for each thread, with an instance that is replaced when it breaks).
//!
//! Used by `server/` and `sweep/` through [`Engine`], [`Policy`] and [`Guest`]. Stands above `interfaces/`, which has the types
//! and calls of the cache world. Knows no route and no driver.

mod compiled;
mod deadline;
mod guest;
mod instance;
mod limits;
mod load;

use std::{path::Path, sync::Arc, time::Duration};

pub use guest::{Guest, GuestFailed};
pub use limits::Limits;
pub use load::LoadError;
use wasmtime::component::Linker;

use deadline::Ticker;

use crate::{
    interfaces::{self, bindings::CachePre, state::State},
    services::Services,
};

/// The wasm engine of the process.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    _ticker: Arc<Ticker>,
}

/// A loaded policy component, ready to be instantiated on any thread.
#[derive(Clone)]
pub struct Policy {
    pre: CachePre<State>,
    limits: Limits,
    /// Keeps the clock going by which components are interrupted.
    _engine: Engine,
}

impl Engine {
    /// Starts the engine, and the thread that measures how long components run.
    ///
    /// # Errors
    /// When the machine cannot run wasm, or no thread can be had.
    pub fn start() -> Result<Self, LoadError> {
        let mut config = wasmtime::Config::new();
        config.wasm_component_model_async(true);
        config.epoch_interruption(true);
        // A trap says where it happened; the frames cost nothing until then.
        config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
        let inner = wasmtime::Engine::new(&config).map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&inner).map_err(LoadError::Ticker)?;
        Ok(Self { inner, _ticker: Arc::new(ticker) })
    }

    /// Compiles a component, or takes it from `cache`, a directory that only this server writes, and links it to the host.
    ///
    /// # Errors
    /// When it is no component, or does not fit the cache world.
    pub fn load(&self, component: &[u8], cache: Option<&Path>, limits: Limits) -> Result<Policy, LoadError> {
        let component = load::compile_or_reuse(&self.inner, component, cache)?;
        let linker = linker(&self.inner).map_err(LoadError::World)?;
        let pre = linker.instantiate_pre(&component).and_then(CachePre::new).map_err(LoadError::World)?;
        Ok(Policy { pre, limits, _engine: self.clone() })
    }
}

impl Policy {
    /// Starts an instance and has it answer a call, to find out whether it can.
    ///
    /// # Errors
    /// [`LoadError::Start`] with what it was that it could not.
    pub async fn probe(&self, services: &Arc<Services>) -> Result<(), LoadError> {
        instance::probe(self, services).await.map_err(LoadError::Start)
    }

    /// Starts a guest on this thread, inside its `LocalSet`.
    #[must_use]
    pub fn start(&self, services: &Arc<Services>) -> Guest {
        Guest::start(self.clone(), services.clone())
    }
}

/// Links the cache world and WASI. Of WASI a component gets clocks, random numbers and closed standard streams: no files, no
/// network, no environment.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    interfaces::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// How long a tick of the engine's clock is.
const TICK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
