//! The data of an instance's store.

use std::{collections::BTreeMap, sync::Arc};

use larder_metrics::InstanceMeter;
use wasmtime::{
    ResourceLimiter, StoreLimits, StoreLimitsBuilder,
    component::{Accessor, GuestTaskId, HasSelf, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::{
    message::RequestContext,
    net::Forwarder,
    tenant::{MemoryShare, Tenant},
};

/// An idle instance that uses more than an eighth of its allowed memory is replaced: linear memory
/// never shrinks.
const GROWN_FRACTION: usize = 8;
/// Most linear memories, core instances and tables of an instance.
const MAX_MEMORIES: usize = 8;
const MAX_INSTANCES: usize = 32;
const MAX_TABLES: usize = 32;

/// The data of an instance's store.
pub(crate) struct State {
    /// The resources that the component holds handles of.
    pub(crate) table: ResourceTable,
    /// The tenant whose requests the component handles.
    pub(crate) tenant: Arc<Tenant>,
    /// The connections of this instance to the tenant's upstream, since its first forward.
    forwarder: Option<Arc<Forwarder>>,
    /// The requests that the component is handling, by the task of the export.
    pub(crate) requests: BTreeMap<GuestTaskId, Arc<RequestContext>>,
    memory: MemoryLimiter,
    wasi: WasiCtx,
}

impl State {
    /// `memory_bytes`: the limit of all linear memories together. `handles`: the limit of concurrent handles.
    pub(crate) fn new(tenant: Arc<Tenant>, memory_bytes: usize, handles: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        let limits = StoreLimitsBuilder::new()
            .memory_size(memory_bytes)
            .memories(MAX_MEMORIES)
            .instances(MAX_INSTANCES)
            .tables(MAX_TABLES)
            .build();
        let share = tenant.shared.as_ref().map(|shared| shared.memory.share());
        let memory =
            MemoryLimiter { limits, share, meter: tenant.metrics.instance(), bytes: 0, memory_bytes };
        Self {
            table,
            tenant,
            forwarder: None,
            requests: BTreeMap::new(),
            memory,
            wasi: WasiCtx::builder().build(),
        }
    }

    /// Returns what forwards to the tenant's upstream; `None` where it has none.
    pub(super) fn forwarder(&mut self) -> Option<Arc<Forwarder>> {
        if self.forwarder.is_none() {
            let upstream = self.tenant.upstream.clone()?;
            self.forwarder = Some(Arc::new(Forwarder::new(upstream)));
        }
        self.forwarder.clone()
    }

    /// The limits of the store: wasmtime asks before the instance grows.
    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    /// Returns whether the instance should be replaced once it is idle, to free its memory.
    pub(crate) fn has_grown(&self) -> bool {
        self.memory.bytes > self.memory.memory_bytes / GROWN_FRACTION
    }

    /// Returns the size of its linear memories, in bytes.
    pub(crate) fn memory_in_use(&self) -> usize {
        self.memory.bytes
    }
}

/// Returns the tenant, for a call that runs concurrently with others.
pub(super) fn tenant(accessor: &Accessor<State, HasSelf<State>>) -> Arc<Tenant> {
    accessor.with(|mut access| access.get().tenant.clone())
}

/// The limits of a store, and the size of its linear memories.
struct MemoryLimiter {
    limits: StoreLimits,
    /// What it has of the memory that the guests of several tenants share.
    share: Option<MemoryShare>,
    /// Counts the instance, too.
    meter: InstanceMeter,
    /// All linear memories together: a component may have several.
    bytes: usize,
    memory_bytes: usize,
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let bytes = self.bytes.saturating_add(more);
        let allowed = self.limits.memory_growing(current, desired, maximum)?
            && bytes <= self.memory_bytes
            && self.share.as_mut().is_none_or(|share| share.grow(self.bytes, bytes));
        if allowed {
            self.bytes = bytes;
            self.meter.grows_by(more);
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

#[cfg(test)]
mod tests;
