//! What one instance may use, and a store that holds it to that.

use std::{sync::Arc, time::Duration};

use wasmtime::{Engine, Store};

use super::deadline;
use crate::{interfaces::state::State, services::Services};

/// Most bytes that one call of the host may bring out of the component, and one answer of the component: the host allocates
/// them before it can look at them. The largest that are needed are a response of 16 MiB (`interfaces/handler.rs`) and a block
/// list, 50,000 ids of 256 bytes with their 24 bytes each for where they are: 13.4 MiB.
const HOSTCALL_BYTES: usize = 17 * 1024 * 1024;

/// What one instance of a component may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Longest run without a pause.
    pub slice: Duration,
    /// Most handles (requests, objects, upstream answers) held at once.
    pub handles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 128 * 1024 * 1024, slice: Duration::from_secs(1), handles: 20_000 }
    }
}

impl Limits {
    /// Makes a fresh store with these limits.
    pub(super) fn store(self, engine: &Engine, services: Arc<Services>) -> Store<State> {
        let mut store = Store::new(engine, State::new(services, self.memory_bytes, self.handles));
        store.limiter(State::limiter);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        deadline::limit_uninterrupted_run(&mut store, self.slice);
        store
    }
}
