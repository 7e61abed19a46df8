//! The limits of one instance, and a store that enforces them.

use std::{sync::Arc, time::Duration};

use wasmtime::{Engine, Store};

use super::deadline;
use crate::{config, interfaces::state::State, tenant::Tenant};

/// Most bytes that one host call, or one result of the component, may copy out of the component:
/// the host allocates them before it can check them. The largest that are needed are a response of
/// 16 MiB (`interfaces/handler.rs`) and a block list of 50,000 ids of 256 bytes, with 24 bytes each
/// for their place: 13.4 MiB.
const HOSTCALL_BYTES: usize = 17 * 1024 * 1024;

/// Most handles (requests, objects, upstream responses) of an instance at once.
const HANDLES: usize = 20_000;

/// The limits of one instance of a component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InstanceLimits {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Longest run without a pause.
    pub slice: Duration,
    /// Most handles (requests, objects, upstream responses) at once.
    pub handles: usize,
}

impl From<&config::PolicyConfig> for InstanceLimits {
    fn from(policy: &config::PolicyConfig) -> Self {
        Self {
            memory_bytes: usize::try_from(policy.memory_bytes).unwrap_or(usize::MAX),
            slice: Duration::from_millis(policy.deadline_ms),
            handles: HANDLES,
        }
    }
}

impl Default for InstanceLimits {
    /// The limits of the default configuration.
    fn default() -> Self {
        Self::from(&config::PolicyConfig::default())
    }
}

impl InstanceLimits {
    /// Makes an empty store with these limits.
    pub(super) fn store(self, engine: &Engine, tenant: Arc<Tenant>) -> Store<State> {
        let (metrics, has_neighbours) = (tenant.metrics.clone(), tenant.shared.is_some());
        let mut store = Store::new(engine, State::new(tenant, self.memory_bytes, self.handles));
        store.limiter(State::limiter);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        deadline::limit_uninterrupted_run(&mut store, self.slice, has_neighbours, move || {
            metrics.count_policy_interruption();
        });
        store
    }
}
