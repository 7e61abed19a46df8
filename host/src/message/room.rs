//! Room: how much requests may take together of something that runs out.
//!
//! Each connection has a *reserve* that nobody else can take. So a client that sends small requests, one at a time, waits for
//! nobody, whatever others do. What is larger, or more at once, comes out of a *pool* that all connections share: in the order
//! of asking, within a bounded time, and one connection may have a part of it at most. The reserves of all connections
//! and the pool are the bound of the room.

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

use crate::throttle::Throttle;

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Heads of requests inside a guest, in bytes.
    Heads,
    /// Heads of requests that wait for that, in bytes.
    Waiting,
    /// Bodies that are read into memory, in bytes.
    Bodies,
    /// What a guest makes of short bodies, in bytes.
    Messages,
    /// What a guest makes of long bodies, in bytes.
    Lists,
    /// Requests that are with the upstream, in number.
    Forwards,
}

const KINDS: usize = 6;

/// The bounds of a room, in its unit: bytes, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomBounds {
    /// What each connection has for itself.
    pub reserve: u32,
    /// What all share.
    pub pool: u32,
    /// The most that one connection may have of it. Whoever wants more at once gets this.
    pub pool_per_connection: u32,
    /// The longest wait for a place in the pool.
    pub wait: Duration,
}

/// What is taken of a room's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Of what.
    pub kind: Kind,
    /// So much is taken.
    pub taken: u32,
    /// Of so much.
    pub pool: u32,
    /// So many wait.
    pub waiting: u32,
    /// So many were refused since the start.
    pub refused: u64,
}

impl Usage {
    /// Adds what is taken of another room of this kind.
    pub fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.pool += other.pool;
        self.waiting += other.waiting;
        self.refused += other.refused;
    }
}

/// There is no room, and was none for as long as anybody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy")]
pub struct Full;

/// A bounded amount of something.
#[derive(Debug)]
pub struct Room {
    kind: Kind,
    bounds: RoomBounds,
    pool: Arc<Semaphore>,
    waiting: AtomicU32,
    refused: AtomicU64,
    warnings: Throttle,
}

/// A connection, as rooms know it.
#[derive(Debug)]
pub struct Client {
    allowances: [Allowance; KINDS],
}

/// What a connection has of a room.
#[derive(Debug)]
struct Allowance {
    /// What is left of its reserve.
    reserve: AtomicU32,
    /// Its part of the pool, from the first time on that it needs it.
    part: OnceLock<Arc<Semaphore>>,
}

/// Room that was taken. Given back when it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    reserve: Option<Reserved>,
    pool: Option<Pooled>,
}

#[derive(Debug)]
struct Reserved {
    client: Arc<Client>,
    kind: Kind,
    amount: u32,
}

#[derive(Debug)]
struct Pooled {
    part: OwnedSemaphorePermit,
    shared: OwnedSemaphorePermit,
}

impl Room {
    /// Makes an empty room.
    #[must_use]
    pub fn new(kind: Kind, bounds: RoomBounds) -> Self {
        Self {
            kind,
            bounds,
            pool: Arc::new(Semaphore::new(bounds.pool as usize)),
            waiting: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            warnings: Throttle::default(),
        }
    }

    /// Returns the most that anybody can have at once.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.bounds.pool_per_connection.min(self.bounds.pool).max(self.bounds.reserve)
    }

    /// Returns what so many connections can have together.
    #[must_use]
    pub fn most(&self, connections: usize) -> usize {
        self.bounds.reserve as usize * connections + self.bounds.pool as usize
    }

    /// Returns whether somebody waits.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Returns what is taken.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let free = u32::try_from(self.pool.available_permits()).unwrap_or(u32::MAX);
        Usage {
            kind: self.kind,
            taken: self.bounds.pool.saturating_sub(free),
            pool: self.bounds.pool,
            waiting: self.waiting.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    /// Takes room if it is there.
    pub fn try_take(&self, client: &Arc<Client>, amount: u32) -> Option<Held> {
        let allowance = client.allowance(self.kind);
        if allowance.take_reserve(amount) {
            let reserved = Reserved { client: client.clone(), kind: self.kind, amount };
            return Some(Held { reserve: Some(reserved), pool: None });
        }
        let amount = self.at_most(amount);
        let part = allowance.part(&self.bounds).clone().try_acquire_many_owned(amount).ok()?;
        let shared = self.pool.clone().try_acquire_many_owned(amount).ok()?;
        Some(Held { reserve: None, pool: Some(Pooled { part, shared }) })
    }

    /// Takes room, and waits for it.
    ///
    /// # Errors
    /// When there is none within the time.
    pub async fn take(&self, client: &Arc<Client>, amount: u32) -> Result<Held, Full> {
        match self.try_take(client, amount) {
            Some(held) => Ok(held),
            // Boxed: it is rare, and would make every call's future larger.
            None => Box::pin(self.wait(client, amount)).await,
        }
    }

    async fn wait(&self, client: &Arc<Client>, amount: u32) -> Result<Held, Full> {
        let _waiting = Waiting::begin(&self.waiting);
        let amount = self.at_most(amount);
        let part = client.allowance(self.kind).part(&self.bounds).clone();
        let taken = timeout(self.bounds.wait, async {
            let part = part.acquire_many_owned(amount).await.ok()?;
            let shared = self.pool.clone().acquire_many_owned(amount).await.ok()?;
            Some(Held { reserve: None, pool: Some(Pooled { part, shared }) })
        });
        taken.await.ok().flatten().ok_or_else(|| self.refuse())
    }

    /// Counts a request that gets no room.
    pub fn refuse(&self) -> Full {
        self.refused.fetch_add(1, Relaxed);
        if let Some(refused) = self.warnings.due() {
            let Usage { taken, pool, waiting, .. } = self.usage();
            tracing::warn!(of = ?self.kind, taken, pool, waiting, refused, "server busy: requests refused");
        }
        Full
    }

    fn at_most(&self, amount: u32) -> u32 {
        amount.min(self.bounds.pool_per_connection).min(self.bounds.pool)
    }
}

impl Client {
    /// A connection with these reserves.
    #[must_use]
    pub fn new(rooms: [&Room; KINDS]) -> Self {
        let reserve = |at: usize| {
            rooms.iter().find(|room| room.kind as usize == at).map_or(0, |room| room.bounds.reserve)
        };
        let allowance = |at| Allowance { reserve: AtomicU32::new(reserve(at)), part: OnceLock::new() };
        Self { allowances: array::from_fn(allowance) }
    }

    fn allowance(&self, kind: Kind) -> &Allowance {
        &self.allowances[kind as usize]
    }
}

impl Allowance {
    fn take_reserve(&self, amount: u32) -> bool {
        self.reserve.fetch_update(AcqRel, Acquire, |left| left.checked_sub(amount)).is_ok()
    }

    fn part(&self, bounds: &RoomBounds) -> &Arc<Semaphore> {
        self.part.get_or_init(|| Arc::new(Semaphore::new(bounds.pool_per_connection as usize)))
    }
}

impl Held {
    /// Returns whether others could have it.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.pool.is_some()
    }

    /// Adds what was taken later, of the same room and connection.
    pub fn absorb(&mut self, mut more: Self) {
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

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
