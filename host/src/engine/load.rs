//! From the bytes of a component to machine code. Compilation takes about a second (seconds in a
//! program that is not optimised); its result is stored in a file.

use std::{io, path::Path};

use wasmtime::{Engine, component::Component};

use super::compiled::Compiled;

/// Why a policy cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine does not start.
    #[error("the wasm engine does not start")]
    Engine(#[source] wasmtime::Error),
    /// The thread that measures run time does not start.
    #[error("cannot start the thread that measures the policy's run time")]
    Ticker(#[source] io::Error),
    /// Not a component.
    #[error("not a WebAssembly component")]
    Component(#[source] wasmtime::Error),
    /// It is a component, but not of the cache world that this server offers.
    #[error("the component does not fit the world larder:cache/cache@0.4.0")]
    World(#[source] wasmtime::Error),
    /// It does not start, or fails on its first call, within `policy.memory_bytes` and
    /// `policy.deadline_ms`.
    #[error("the component does not start within policy.memory_bytes and policy.deadline_ms")]
    Start(#[source] wasmtime::Error),
}

/// Returns the compiled component, from a file in `cache` where there is one.
pub(super) fn compile_or_reuse(
    engine: &Engine,
    bytes: &[u8],
    cache: Option<&Path>,
) -> Result<Component, LoadError> {
    let Some(compiled) = cache.map(|dir| Compiled::of(dir, engine, bytes)) else {
        return Component::from_binary(engine, bytes).map_err(LoadError::Component);
    };
    if let Some(component) = compiled.load(engine) {
        return Ok(component);
    }
    tracing::info!("compiling the policy, for this start and the next ones");
    let component = Component::from_binary(engine, bytes).map_err(LoadError::Component)?;
    if let Err(error) = compiled.store(&component) {
        tracing::warn!(error = %error, "cannot store the compiled policy; the next start compiles it again");
        return Ok(component);
    }
    // Mapped from the file: only pages that are used take memory.
    Ok(compiled.load(engine).unwrap_or(component))
}
