//! Quotas: how much of a limited resource all requests together may use.
//!
//! Each connection has a *reserve* that no other connection can use. So a client that sends small
//! requests one at a time never waits for others. Larger amounts come from a *pool* that all
//! connections share: first come, first served, with a bound on the wait, and on the part that one
//! connection may have. The sum of all reserves and the pool is the bound of the quota.

use std::{
    array,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::log_throttle::Throttle;

/// The resource that a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaKind {
    /// Heads of requests inside a guest, in bytes.
    Heads,
    /// Heads of requests that wait to enter a guest, in bytes.
    Waiting,
    /// Bodies that are read into memory, in bytes.
    Bodies,
    /// A guest's memory for short bodies, in bytes.
    Messages,
    /// A guest's memory for long bodies, in bytes.
    Lists,
    /// Number of requests in flight at the upstream.
    Forwards,
}

const KINDS: usize = 6;

/// The bounds of a quota, in its unit: bytes, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaBounds {
    /// The amount that each connection has for itself.
    pub reserve: u32,
    /// The amount that all connections share.
    pub pool: u32,
    /// The largest part of the pool that one connection may have. Larger requests are clamped to
    /// it.
    pub pool_per_connection: u32,
    /// The longest wait for a part of the pool.
    pub wait: Duration,
}

/// How much of a quota's pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    /// The resource.
    pub kind: QuotaKind,
    /// The amount in use.
    pub taken: u32,
    /// The size of the pool.
    pub pool: u32,
    /// Number of waiters.
    pub waiting: u32,
    /// Number of refusals since the start.
    pub refused: u64,
}

impl QuotaUsage {
    /// Adds the usage of another quota of this kind.
    pub fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.pool += other.pool;
        self.waiting += other.waiting;
        self.refused += other.refused;
    }
}

/// The quota is used up, and stayed so for as long as a request may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy")]
pub(crate) struct QuotaExceeded;

/// A limited amount of a resource.
#[derive(Debug)]
pub(crate) struct Quota {
    kind: QuotaKind,
    bounds: QuotaBounds,
    pool: Arc<Semaphore>,
    waiting: AtomicU32,
    refused: AtomicU64,
    warnings: Throttle,
}

/// The part of each quota that one connection uses.
#[derive(Debug)]
pub(crate) struct ClientQuota {
    allowances: [Allowance; KINDS],
}

/// The part of one quota that one connection uses.
#[derive(Debug)]
struct Allowance {
    /// The rest of its reserve.
    reserve: AtomicU32,
    /// Its part of the pool. Made when it is first needed.
    part: OnceLock<Arc<Semaphore>>,
}

/// An acquired amount. Released when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct QuotaPermit {
    reserve: Option<Reserved>,
    pool: Option<Pooled>,
}

#[derive(Debug)]
struct Reserved {
    client: Arc<ClientQuota>,
    kind: QuotaKind,
    amount: u32,
}

#[derive(Debug)]
struct Pooled {
    part: OwnedSemaphorePermit,
    shared: OwnedSemaphorePermit,
}

impl Quota {
    /// Makes a quota of which nothing is in use.
    #[must_use]
    pub(crate) fn new(kind: QuotaKind, bounds: QuotaBounds) -> Self {
        Self {
            kind,
            bounds,
            pool: Arc::new(Semaphore::new(bounds.pool as usize)),
            waiting: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            warnings: Throttle::default(),
        }
    }

    /// Returns the largest amount that one permit can have.
    #[must_use]
    pub(crate) fn largest(&self) -> u32 {
        self.bounds.pool_per_connection.min(self.bounds.pool).max(self.bounds.reserve)
    }

    /// Returns the amount that this many connections can have together.
    #[cfg(test)]
    pub(crate) fn most(&self, connections: usize) -> usize {
        self.bounds.reserve as usize * connections + self.bounds.pool as usize
    }

    /// Returns whether a request waits for the pool.
    #[must_use]
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Returns how much is in use.
    #[must_use]
    pub(crate) fn usage(&self) -> QuotaUsage {
        let free = u32::try_from(self.pool.available_permits()).unwrap_or(u32::MAX);
        QuotaUsage {
            kind: self.kind,
            taken: self.bounds.pool.saturating_sub(free),
            pool: self.bounds.pool,
            waiting: self.waiting.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    /// Acquires an amount if it is available.
    pub(crate) fn try_acquire(&self, client: &Arc<ClientQuota>, amount: u32) -> Option<QuotaPermit> {
        let allowance = client.allowance(self.kind);
        if allowance.take_reserve(amount) {
            let reserved = Reserved { client: client.clone(), kind: self.kind, amount };
            return Some(QuotaPermit { reserve: Some(reserved), pool: None });
        }
        let amount = self.clamped(amount);
        let part = allowance.part(&self.bounds).clone().try_acquire_many_owned(amount).ok()?;
        let shared = self.pool.clone().try_acquire_many_owned(amount).ok()?;
        Some(QuotaPermit { reserve: None, pool: Some(Pooled { part, shared }) })
    }

    /// Acquires an amount, and waits for it.
    ///
    /// # Errors
    /// [`QuotaExceeded`] when it is not available within [`QuotaBounds::wait`].
    pub(crate) async fn acquire(
        &self,
        client: &Arc<ClientQuota>,
        amount: u32,
    ) -> Result<QuotaPermit, QuotaExceeded> {
        match self.try_acquire(client, amount) {
            Some(held) => Ok(held),
            // Boxed: it is rare, and would make every call's future larger.
            None => Box::pin(self.wait(client, amount)).await,
        }
    }

    async fn wait(&self, client: &Arc<ClientQuota>, amount: u32) -> Result<QuotaPermit, QuotaExceeded> {
        let _waiting = Waiter::begin(&self.waiting);
        let amount = self.clamped(amount);
        let part = client.allowance(self.kind).part(&self.bounds).clone();
        let taken = timeout(self.bounds.wait, async {
            let part = part.acquire_many_owned(amount).await.ok()?;
            let shared = self.pool.clone().acquire_many_owned(amount).await.ok()?;
            Some(QuotaPermit { reserve: None, pool: Some(Pooled { part, shared }) })
        });
        taken.await.ok().flatten().ok_or_else(|| self.refuse())
    }

    /// Counts a refusal, and logs it now and then.
    pub(crate) fn refuse(&self) -> QuotaExceeded {
        self.refused.fetch_add(1, Relaxed);
        if let Some(refused) = self.warnings.due() {
            let QuotaUsage { taken, pool, waiting, .. } = self.usage();
            tracing::warn!(of = ?self.kind, taken, pool, waiting, refused, "server busy: requests refused");
        }
        QuotaExceeded
    }

    fn clamped(&self, amount: u32) -> u32 {
        amount.min(self.bounds.pool_per_connection).min(self.bounds.pool)
    }
}

impl ClientQuota {
    /// A connection with a full reserve of each quota.
    #[must_use]
    pub(crate) fn new(quotas: [&Quota; KINDS]) -> Self {
        let reserve = |at: usize| {
            quotas.iter().find(|quota| quota.kind as usize == at).map_or(0, |quota| quota.bounds.reserve)
        };
        let allowance = |at| Allowance { reserve: AtomicU32::new(reserve(at)), part: OnceLock::new() };
        Self { allowances: array::from_fn(allowance) }
    }

    fn allowance(&self, kind: QuotaKind) -> &Allowance {
        &self.allowances[kind as usize]
    }
}

impl Allowance {
    fn take_reserve(&self, amount: u32) -> bool {
        self.reserve.fetch_update(AcqRel, Acquire, |left| left.checked_sub(amount)).is_ok()
    }

    fn part(&self, bounds: &QuotaBounds) -> &Arc<Semaphore> {
        self.part.get_or_init(|| Arc::new(Semaphore::new(bounds.pool_per_connection as usize)))
    }
}

impl QuotaPermit {
    /// Returns whether it has a part of the pool, which others may wait for.
    #[must_use]
    pub(crate) fn is_pooled(&self) -> bool {
        self.pool.is_some()
    }

    /// Merges a later permit of the same quota and connection.
    pub(crate) fn absorb(&mut self, mut more: Self) {
        match (&mut self.reserve, &mut more.reserve) {
            (Some(mine), Some(added)) => mine.amount += std::mem::take(&mut added.amount),
            (mine @ None, added) => *mine = added.take(),
            (Some(_), None) => {}
        }
        match (&mut self.pool, more.pool.take()) {
            (Some(mine), Some(added)) => {
                mine.part.merge(added.part);
                mine.shared.merge(added.shared);
            }
            (mine @ None, added) => *mine = added,
            (Some(_), None) => {}
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.client.allowance(self.kind).reserve.fetch_add(self.amount, AcqRel);
    }
}

/// Counts one waiter while it lives.
struct Waiter<'a>(&'a AtomicU32);

impl<'a> Waiter<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
