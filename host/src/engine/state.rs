//! What the host keeps for one instance.

use std::{sync::Arc, time::Duration};

use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::deadline;
use crate::services::Services;

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

/// The data of an instance's store.
pub(crate) struct State {
    /// What the component holds handles of.
    pub(crate) table: ResourceTable,
    /// The host's capabilities.
    pub(crate) services: Arc<Services>,
    limits: StoreLimits,
    wasi: WasiCtx,
}

impl State {
    /// A fresh store with its limits.
    pub(super) fn store(engine: &Engine, services: Arc<Services>, limits: Limits) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let store_limits = StoreLimitsBuilder::new()
            .memory_size(limits.memory_bytes)
            .memories(8)
            .instances(32)
            .tables(32)
            .build();
        let state = Self { table, services, limits: store_limits, wasi: WasiCtx::builder().build() };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        deadline::bound_slices(&mut store, limits.slice);
        store
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
