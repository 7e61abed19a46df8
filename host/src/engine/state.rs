//! What the host keeps for one instance.

use std::{collections::HashMap, sync::Arc, time::Duration};

use wasmtime::{
    Engine, ResourceLimiter, Store, StoreLimits, StoreLimitsBuilder,
    component::{GuestTaskId, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::deadline;
use crate::{message::RequestRecord, services::Services};

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

/// An idle instance whose memory is more than this part of what it may have is replaced: linear memory never shrinks.
const GROWN_PART: usize = 8;

/// Most bytes that one call of the host may bring out of the component, and one answer of the component: the host allocates
/// them before it can look at them. The largest that are needed are a response of 16 MiB (`convert.rs`) and a block list,
/// 50,000 ids of 256 bytes with their 24 bytes each for where they are: 13.4 MiB.
const HOSTCALL_BYTES: usize = 17 * 1024 * 1024;

/// The data of an instance's store.
pub(crate) struct State {
    /// What the component holds handles of.
    pub(crate) table: ResourceTable,
    /// The host's capabilities.
    pub(crate) services: Arc<Services>,
    /// The requests that the component is handling, by the task of the export.
    pub(crate) requests: HashMap<GuestTaskId, Arc<RequestRecord>>,
    memory: Memory,
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
        let memory = Memory { limits: store_limits, bytes: 0, grown_at: limits.memory_bytes / GROWN_PART };
        let wasi = WasiCtx::builder().build();
        let state = Self { table, services, requests: HashMap::new(), memory, wasi };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        deadline::bound_slices(&mut store, limits.slice);
        store
    }
}

impl State {
    /// Returns whether the instance has so much memory that it should give it back when it can.
    pub(super) fn has_grown(&self) -> bool {
        self.memory.bytes > self.memory.grown_at
    }
}

/// The limits of a store, and how large its largest linear memory is.
struct Memory {
    limits: StoreLimits,
    bytes: usize,
    grown_at: usize,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = self.limits.memory_growing(current, desired, maximum)?;
        if allowed {
            self.bytes = self.bytes.max(desired);
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
