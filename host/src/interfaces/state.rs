//! What the host keeps for one instance: the data of its store.

use std::{collections::HashMap, sync::Arc};

use wasmtime::{
    ResourceLimiter, StoreLimits, StoreLimitsBuilder,
    component::{Accessor, GuestTaskId, HasSelf, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::{message::RequestContext, services::Services};

/// An idle instance whose memory is more than this part of what it may have is replaced: linear memory never shrinks.
const GROWN_PART: usize = 8;
/// Most linear memories, core instances and tables of an instance.
const MAX_MEMORIES: usize = 8;
const MAX_INSTANCES: usize = 32;
const MAX_TABLES: usize = 32;

/// The data of an instance's store.
pub(crate) struct State {
    /// What the component holds handles of.
    pub(crate) table: ResourceTable,
    /// The host's capabilities.
    pub(crate) services: Arc<Services>,
    /// The requests that the component is handling, by the task of the export.
    pub(crate) requests: HashMap<GuestTaskId, Arc<RequestContext>>,
    memory: Memory,
    wasi: WasiCtx,
}

impl State {
    /// Makes the state of an instance that may have linear memories of `memory_bytes` each, and hold so many handles at once.
    pub(crate) fn new(services: Arc<Services>, memory_bytes: usize, handles: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        let limits = StoreLimitsBuilder::new()
            .memory_size(memory_bytes)
            .memories(MAX_MEMORIES)
            .instances(MAX_INSTANCES)
            .tables(MAX_TABLES)
            .build();
        let memory = Memory { limits, bytes: 0, grown_at: memory_bytes / GROWN_PART };
        Self { table, services, requests: HashMap::new(), memory, wasi: WasiCtx::builder().build() }
    }

    /// The limits of the store, by which wasmtime asks before the instance grows.
    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    /// Returns whether the instance has so much memory that it should give it back when it can.
    pub(crate) fn has_grown(&self) -> bool {
        self.memory.bytes > self.memory.grown_at
    }
}

/// The services, for a call that goes on beside others.
pub(super) fn services(accessor: &Accessor<State, HasSelf<State>>) -> Arc<Services> {
    accessor.with(|mut access| access.get().services.clone())
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
