//! Makes room: deletes entries that the policy chooses, for a save that does not fit, and ahead of
//! need.
//!
//! One for each tenant, a task of the janitor: so saves that wait share what it does, and none deletes
//! more than is needed. It reads entries in the order of their last use from an index of the
//! database, never all of them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use larder_common::causes::chain;
use larder_index::{Area, Bound, Caps, Cause, Departure, Detailed, Entry, EntryId, IndexError, Trust};
use larder_metrics::removal_reason;
use larder_storage::{ObjectName, StorageError};
use tokio::time::sleep;

use super::{
    Capacity, Saver,
    idle_uploads::IdleUploads,
    order::{Offered, read_page},
    requests::{Made, RoomRequest},
};
use crate::{
    engine::{Guest, GuestFailed, PolicyInForce},
    retention::{Candidate, ContentState, RoomBound, RoomNeeded, Tier},
    tenant::Tenant,
    trace::evicted,
};

/// How often it is looked whether room should be made ahead of need.
const LOOK: Duration = Duration::from_secs(5);
/// Entries that the policy gets at once.
pub(super) const PAGE: usize = 250;
/// Most tiers that count.
const MAX_TIERS: usize = 16;
/// Most pages of a tier that are read for one request: what is protected comes last.
pub(super) const MAX_PAGES: usize = 40;
/// Objects that are removed at the same time.
const REMOVALS: usize = 8;
/// Most rows that are deleted before their objects are.
const BATCH: usize = 64;

/// Deletes entries of one tenant.
pub(crate) struct Evictor {
    policy: PolicyInForce,
    tenant: Arc<Tenant>,
    capacity: Arc<Capacity>,
    idle_uploads: IdleUploads,
}

/// Why no room was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvictError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The guest failed.
    #[error(transparent)]
    Guest(#[from] GuestFailed),
}

/// What came of going through a tier once.
#[derive(Default)]
struct Pass {
    freed: u64,
    /// The tier was read to its end, and all that could be offered was deleted, so that another pass finds
    /// nothing. Otherwise what was deleted may have protected others.
    is_all: bool,
}

impl Evictor {
    /// Returns that of a tenant; `None` where nothing has a limit.
    pub(crate) fn of(policy: &PolicyInForce, tenant: &Arc<Tenant>) -> Option<Self> {
        let capacity = tenant.capacity.clone()?;
        let (policy, tenant) = (policy.clone(), tenant.clone());
        Some(Self { policy, tenant, capacity, idle_uploads: IdleUploads::default() })
    }

    /// Serves saves that wait, and looks ahead. Never returns. Must run inside a `LocalSet`.
    pub(crate) async fn run(self) {
        loop {
            let request = tokio::select! {
                biased;
                request = self.capacity.shared.requests.next() => Some(request),
                () = sleep(LOOK) => None,
            };
            let done = match request {
                Some(request) => self.serve(request).await,
                None => self.look_ahead().await,
            };
            if let Err(error) = done {
                tracing::error!(error = chain(&error), "cannot make room");
            }
        }
    }

    async fn serve(&self, request: RoomRequest) -> Result<(), EvictError> {
        let RoomRequest { saver, bound, bytes, reply } = request;
        let needed = needed_by(&saver, bound, bytes);
        let dropped = self.capacity.limits.may_evict()
            && self.idle_uploads.drop_in(&self.tenant, &needed.bound).await?;
        let freed = if dropped { 1 } else { self.make_room(&needed).await? };
        // Nobody waits any more: what was freed is there for the next one.
        let _ = reply.send(if freed > 0 { Made::Room } else { Made::Nothing });
        Ok(())
    }

    /// Deletes until `needed.bytes` are free, or nothing may be deleted any more. Returns how many bytes
    /// were freed.
    ///
    /// # Errors
    /// The first failure of index or guest.
    pub(crate) async fn make_room(&self, needed: &RoomNeeded) -> Result<u64, EvictError> {
        let freed = self.delete_until(needed).await?;
        self.tenant.metrics.count_evicted(freed);
        Ok(freed)
    }

    async fn delete_until(&self, needed: &RoomNeeded) -> Result<u64, EvictError> {
        if !self.capacity.limits.may_evict() {
            return Ok(0);
        }
        let guest = self.policy.current().start(&self.tenant);
        let tiers = guest.room_tiers(needed).await?;
        if !self.is_feasible(needed, &tiers).await? {
            return Ok(0);
        }
        let mut freed = 0;
        for tier in tiers.iter().take(MAX_TIERS) {
            loop {
                let pass = self.empty_tier(&guest, needed, tier, freed).await?;
                freed += pass.freed;
                if freed >= needed.bytes {
                    return Ok(freed);
                }
                if pass.freed == 0 || pass.is_all {
                    break;
                }
            }
        }
        Ok(freed)
    }

    /// Returns whether there is enough that may be offered: nothing is deleted for a save that does not
    /// fit all the same. Ahead of need, less is better than nothing.
    async fn is_feasible(&self, needed: &RoomNeeded, tiers: &[Tier]) -> Result<bool, EvictError> {
        if needed.slot.is_none() {
            return Ok(true);
        }
        let (mut seen, mut bytes) = (HashSet::new(), 0_u64);
        for tier in tiers.iter().take(MAX_TIERS) {
            let mut after = None;
            for _ in 0..MAX_PAGES {
                let page = read_page(&self.tenant, tier, after).await?;
                let new = page.entries.iter().filter(|(entry, _)| seen.insert(entry.id));
                bytes = bytes.saturating_add(new.map(|(entry, _)| entry.size_bytes).sum());
                if bytes >= needed.bytes {
                    return Ok(true);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(false)
    }

    /// Goes through a tier once. `freed`: how many of the bytes are free already.
    async fn empty_tier(
        &self,
        guest: &Guest,
        needed: &RoomNeeded,
        tier: &Tier,
        freed: u64,
    ) -> Result<Pass, EvictError> {
        let mut offered = Offered::of(&self.tenant, tier).await?;
        let (mut pass, mut spared) = (Pass::default(), 0);
        while let Some(page) = offered.next().await? {
            if page.is_empty() {
                continue;
            }
            let now_ms = self.tenant.clock.now_ms();
            let candidates: Arc<[Candidate]> = page.into_iter().map(candidate).collect();
            let left = RoomNeeded { bytes: needed.bytes - freed - pass.freed, ..needed.clone() };
            let chosen = guest.make_room(now_ms, &left, candidates.clone()).await?;
            let (deleted, bytes) = self.delete(&candidates, &chosen, &left, now_ms).await?;
            spared += candidates.len() - deleted;
            pass.freed += bytes;
            if bytes >= left.bytes {
                break;
            }
        }
        pass.is_all = offered.is_at_end() && spared == 0;
        Ok(pass)
    }

    /// Deletes of the chosen ones as many as are needed, in their order. Stops at one that is used
    /// meanwhile: those after it may be chosen only because it would be gone. Returns how many were deleted,
    /// and how many bytes were freed.
    async fn delete(
        &self,
        candidates: &[Candidate],
        chosen: &[EntryId],
        needed: &RoomNeeded,
        now_ms: u64,
    ) -> Result<(usize, u64), IndexError> {
        let by_id: HashMap<EntryId, &Entry> =
            candidates.iter().map(|candidate| (candidate.entry.id, &candidate.entry)).collect();
        let mut chosen = chosen.iter().filter_map(|id| by_id.get(id).copied());
        let departure = Departure { cause: cause(&needed.bound), at_ms: now_ms };
        let (mut deleted, mut freed, mut is_over) = (0, 0, false);
        while freed < needed.bytes && !is_over {
            let (mut going, mut bytes) = (Vec::new(), 0);
            while !is_over && freed + bytes < needed.bytes && going.len() < BATCH {
                match chosen.next() {
                    Some(entry) if self.delete_row(entry, &departure).await? => {
                        bytes += entry.size_bytes;
                        going.push(entry);
                    }
                    Some(_) | None => is_over = true,
                }
            }
            deleted += going.len();
            freed += self.remove(going, &departure).await?;
        }
        Ok((deleted, freed))
    }

    async fn delete_row(&self, entry: &Entry, departure: &Departure) -> Result<bool, IndexError> {
        Ok(!self.tenant.usage.has_buffered_use(entry.id)
            && self.tenant.index.delete_entry_unused(entry.id, entry.last_used_ms, departure).await?)
    }

    /// Removes the objects of deleted entries. Returns how many bytes that freed.
    async fn remove(&self, entries: Vec<&Entry>, departure: &Departure) -> Result<u64, IndexError> {
        let cause = &departure.cause;
        let storage = &*self.tenant.storage;
        let remove = |entry: Entry| async move {
            let removed = storage.remove(&entry.object).await;
            (entry, removed)
        };
        let removals = stream::iter(entries.into_iter().cloned()).map(remove).buffer_unordered(REMOVALS);
        let removed: Vec<(Entry, Result<(), StorageError>)> = removals.collect().await;
        let (mut objects, mut bytes): (Vec<ObjectName>, u64) = (Vec::new(), 0);
        for (entry, outcome) in removed {
            match outcome {
                Ok(()) => {
                    tracing::info!(entry = entry.id.0, key = entry.slot.key, scope = entry.slot.scope, bytes = entry.size_bytes, %cause, "entry deleted to make room");
                    self.tenant.trace.record(|| evicted(&entry, departure));
                    bytes += entry.size_bytes;
                    self.tenant.metrics.count_removed_bytes(removal_reason(cause), entry.size_bytes);
                    self.tenant.history.evicted(&entry);
                    objects.push(entry.object);
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "cannot delete the object of an evicted entry; the cleaner tries again"
                    );
                }
            }
        }
        if !objects.is_empty() {
            self.tenant.index.left_objects(&objects).await?;
        }
        Ok(bytes)
    }

    /// Deletes this tenant's share of what is too much in the server's storage.
    pub(super) async fn relieve_server(&self, bytes: u64) {
        let needed = RoomNeeded { slot: None, trust: Trust::Full, bound: RoomBound::Server, bytes };
        match self.make_room(&needed).await {
            Ok(freed) => tracing::info!(
                bytes,
                freed,
                "the server's limit is nearly reached: entries deleted ahead of need"
            ),
            Err(error) => tracing::error!(error = chain(&error), "cannot make room in the server"),
        }
    }

    /// Makes room in areas of the tenant that are nearly full.
    ///
    /// # Errors
    /// The first failure of index or guest.
    pub(crate) async fn look_ahead(&self) -> Result<(), EvictError> {
        let used = self.capacity.shared.requests.take_used();
        let Some((repository, _)) = used.iter().next() else { return Ok(()) };
        let whole = self.caps(repository).await?;
        self.relieve(RoomBound::Tenant, whole.tenant).await?;
        for (repository, scope) in used {
            let caps = self.caps(&repository).await?;
            self.relieve(RoomBound::Repository(repository.clone()), caps.repository).await?;
            self.relieve(RoomBound::Scope { repository, scope }, caps.scope).await?;
        }
        Ok(())
    }

    async fn caps(&self, repository: &str) -> Result<Caps, IndexError> {
        let disk = self.capacity.disk_cap(&self.tenant).await;
        self.capacity.limits.caps(&*self.tenant.index, repository, disk).await
    }

    async fn relieve(&self, bound: RoomBound, cap: Option<u64>) -> Result<(), EvictError> {
        let Some(cap) = cap else { return Ok(()) };
        let used = self.tenant.index.usage_of(&area(&bound)).await?;
        if let Some(bytes) = self.capacity.limits.surplus(cap, used) {
            let freed = self
                .make_room(&RoomNeeded { slot: None, trust: Trust::Full, bound: bound.clone(), bytes })
                .await?;
            tracing::info!(
                ?bound,
                cap,
                used,
                freed,
                "a limit is nearly reached: entries deleted ahead of need"
            );
        }
        Ok(())
    }
}

/// What the policy is told of an entry that may go.
fn candidate((entry, details): Detailed) -> Candidate {
    Candidate { entry, details, content: ContentState::Unknown, newer: None, wish: None }
}

/// The room that a save lacks.
pub(crate) fn needed_by(saver: &Saver, bound: Bound, bytes: u64) -> RoomNeeded {
    let (repository, scope) = (saver.slot.repository.clone(), saver.slot.scope.clone());
    let bound = match bound {
        Bound::Scope => RoomBound::Scope { repository, scope },
        Bound::Repository => RoomBound::Repository(repository),
        Bound::Tenant => RoomBound::Tenant,
        Bound::Server => RoomBound::Server,
    };
    RoomNeeded { slot: Some(saver.slot.clone()), trust: saver.trust, bound, bytes }
}

fn area(bound: &RoomBound) -> Area {
    match bound.clone() {
        RoomBound::Scope { repository, scope } => Area::Scope { repository, scope },
        RoomBound::Repository(repository) => Area::Repository(repository),
        RoomBound::Tenant => Area::Tenant,
        RoomBound::Server => Area::Server,
    }
}

fn cause(bound: &RoomBound) -> Cause {
    match bound {
        RoomBound::Server => Cause::Size,
        RoomBound::Scope { .. } | RoomBound::Repository(_) | RoomBound::Tenant => Cause::Quota,
    }
}
