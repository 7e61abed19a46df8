//! The policy component.

use std::fs;

use crate::{
    config::Settings,
    engine::{Engine, InstanceLimits, Policy, SHARED_TICK, TICK},
    error::StartError,
};

/// The policy component that is built in.
pub const BUILT_IN_POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));

/// Loads `component`, else the configured one, else the built-in one.
pub(crate) fn policy(settings: &Settings, component: Option<&[u8]>) -> Result<Policy, StartError> {
    let limits = InstanceLimits::from(&settings.policy);
    let cache = settings.data.join("compiled");
    let engine = Engine::start(if settings.tenants.dir.is_some() { SHARED_TICK } else { TICK })?;
    let load = |component: &[u8]| Ok(engine.load(component, Some(&cache), limits)?);
    match (component, &settings.policy.component) {
        (Some(component), _) => load(component),
        (None, Some(file)) => {
            let read = fs::read(file);
            load(&read.map_err(|source| StartError::Path { path: file.clone(), source })?)
        }
        (None, None) => load(BUILT_IN_POLICY),
    }
}
