//! All open connections: how many there may be, and which one is closed for another.
//!
//! Every limit of the server on connections and requests is enforced here. A connection is accepted
//! before it is counted, so no client waits unseen in the backlog. At the limit an idle connection
//! is evicted: one that has never had a request, else one that has never had an authorized request,
//! else the one that has been idle longest. If none is idle, the new one is refused. A tenant's limit
//! is enforced at a request, because nobody knows before whose a connection is.

mod guard;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use larder_common::TenantName;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use self::guard::ConnectionState;
pub(super) use self::guard::{ActiveRequest, Closing, ConnectionGuard, Expiry};
use super::peer::client_key;
use crate::log_throttle::Throttle;

/// How long a client may read nothing before its connection can be closed for requests of others.
const STALL: Duration = Duration::from_secs(5);
/// How old a connection without a request must be to be evicted before all others. A request that
/// follows the connection has arrived by then, over a network, too.
const FIRST_REQUEST_TIME: Duration = Duration::from_millis(100);
/// How long a connection that has to end is still read: a request that the client sent at the same
/// moment arrives by then.
const LAST_MOMENT: Duration = Duration::from_millis(10);
/// The same for one that has never had a request, counted from its beginning, while new ones wait for
/// evicted ones to end.
const FIRST_MOMENT: Duration = Duration::from_millis(30);
/// Longest wait for a place among the requests in flight. Short enough that a client still has time
/// to retry; most places are free again within milliseconds.
const REQUEST_WAIT: Duration = Duration::from_secs(2);
/// Most connections above the limit: evicted ones that got a request in the same moment.
const MAX_OVER: usize = 8;
/// Longest wait for evicted connections to end. A worker that takes longer is held up; accepting
/// must not be.
const LEAVING_TIME: Duration = Duration::from_secs(1);

/// The limits on connections and requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// Most connections at once.
    pub(super) connections: usize,
    /// Most connections of one client.
    pub(super) per_client: usize,
    /// Most evicted connections that have not ended yet: each still has its descriptor and its
    /// buffers.
    pub(super) leaving: usize,
    /// Most requests in flight, from the first byte to the last byte of the response.
    pub(super) requests: usize,
}

/// How much of the limits is in use, and how often they were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionUsage {
    /// Open connections.
    pub connections: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Requests in flight.
    pub requests: usize,
    /// Most requests in flight.
    pub max_requests: usize,
    /// Connections that were evicted.
    pub evicted: usize,
    /// Connections and requests that were refused.
    pub refused: usize,
}

/// The open connections.
pub(super) struct Connections {
    limits: ConnectionLimits,
    table: Mutex<ConnectionTable>,
    /// A permit for each request that may be in flight.
    requests: Arc<Semaphore>,
    evicted: AtomicUsize,
    refused: AtomicUsize,
    /// Evicted connections that have not ended yet.
    leaving: AtomicUsize,
    started: Instant,
    /// Notified when a connection ends, or an evicted one is counted again.
    ended: Notify,
    full: Throttle,
    busy: Throttle,
}

#[derive(Default)]
struct ConnectionTable {
    next: u64,
    open: HashMap<u64, Arc<ConnectionState>>,
    of_client: HashMap<IpAddr, usize>,
    /// Of tenants whose connections are counted.
    of_tenant: HashMap<TenantName, usize>,
    /// When the last connection has to end. Set by the signal to stop.
    deadline: Option<tokio::time::Instant>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            requests: Arc::new(Semaphore::new(limits.requests)),
            evicted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            started: Instant::now(),
            ended: Notify::new(),
            full: Throttle::default(),
            busy: Throttle::default(),
        })
    }

    /// Counts a new connection, and evicts an idle one if the server is full. `exempt` clients have
    /// no limit of their own. Returns `None` if none is idle.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, exempt: bool) -> Option<ConnectionGuard> {
        let client = client_key(address);
        let mut table = self.table.lock();
        let of_client = table.of_client.get(&client).copied().unwrap_or(0);
        let room = if !exempt && of_client >= self.limits.per_client {
            self.warn_full("a client address is at its connection limit (server.max_connections_per_client)");
            self.evict(&mut table, |state| state.client == client)
        } else if table.open.len() >= self.limits.connections {
            self.warn_full("the server is at its connection limit (server.max_connections)");
            self.evict(&mut table, |_| true)
        } else {
            true
        };
        if !room {
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        let id = table.next;
        table.next += 1;
        let state = Arc::new(ConnectionState::new(id, client, self.now_ms(), table.deadline.is_some()));
        table.insert(&state);
        Some(ConnectionGuard::new(state, self.clone()))
    }

    fn warn_full(&self, what: &str) {
        self.full.log(|times| {
            tracing::warn!(
                times,
                "{what}: closing the one that has been idle longest, or refusing the new one"
            );
        });
    }

    /// Evicts an idle connection, of those for which `among` holds. Returns whether there was one.
    ///
    /// One that is older than [`FIRST_REQUEST_TIME`] and never had a request comes first: nobody
    /// waits on it, while a client that has been served may send its next request in this moment.
    /// Then those that never had an authorized request: who has no token must not be able to cut off
    /// who has one. Of equals the one that has been idle longest.
    fn evict(&self, table: &mut ConnectionTable, among: impl Fn(&ConnectionState) -> bool) -> bool {
        let idle = table.open.values().filter(|state| state.is_idle() && among(state));
        let late = self.now_ms().saturating_sub(guard::millis(FIRST_REQUEST_TIME));
        let order = |state: &&Arc<ConnectionState>| {
            let since = state.since_ms();
            let may_be_waited_on = state.was_used() || since >= late;
            (may_be_waited_on, state.was_authorized(), since)
        };
        let Some(state) = idle.min_by_key(order).cloned() else { return false };
        self.close(table, &state, Closing::MakeRoom);
        true
    }

    fn close(&self, table: &mut ConnectionTable, state: &Arc<ConnectionState>, how: Closing) {
        // Removed at once, so that its place is free. Its task ends later.
        table.remove(state);
        state.close(how);
        self.leaving.fetch_add(1, Relaxed);
        self.evicted.fetch_add(1, Relaxed);
    }

    /// Evicts an idle connection, because the process has no descriptor left.
    pub(super) fn shed_idle(&self) {
        self.evict(&mut self.table.lock(), |_| true);
    }

    /// Counts a request of this connection until the result is dropped. At the limit the first
    /// request of a connection waits for a place, in order; a further one at the same time is
    /// refused, and so is one that has waited for [`REQUEST_WAIT`]: the result is `None`.
    ///
    /// Half of the places is for first requests: otherwise a few clients with many streams could have
    /// all.
    async fn begin(self: &Arc<Self>, state: &Arc<ConnectionState>) -> Option<ActiveRequest> {
        let is_first = state.is_idle();
        if let Some(place) = self.free_place(is_first) {
            return Some(ActiveRequest::new(state, self).with_place(place));
        }
        self.shed_stalled();
        let active = if is_first { self.wait_for_place(state).await } else { None };
        if active.is_none() {
            self.warn_busy();
        }
        active
    }

    fn free_place(&self, is_first: bool) -> Option<OwnedSemaphorePermit> {
        let reserved = if is_first { 0 } else { self.limits.requests / 2 };
        if self.requests.available_permits() <= reserved {
            return None;
        }
        self.requests.clone().try_acquire_owned().ok()
    }

    async fn wait_for_place(self: &Arc<Self>, state: &Arc<ConnectionState>) -> Option<ActiveRequest> {
        // Counted while it waits: its connection is not idle, and cannot be evicted.
        let active = ActiveRequest::new(state, self);
        let place = timeout(REQUEST_WAIT, self.requests.clone().acquire_owned()).await.ok()?.ok()?;
        Some(active.with_place(place))
    }

    fn warn_busy(&self) {
        self.refused.fetch_add(1, Relaxed);
        self.busy.log(|times| {
            tracing::warn!(
                times,
                limit = self.limits.requests,
                "too many requests in flight: refusing requests"
            );
        });
    }

    /// Closes the connection whose client has read nothing for the longest time, at least
    /// [`STALL`].
    fn shed_stalled(&self) {
        let mut table = self.table.lock();
        let since = self.now_ms().saturating_sub(guard::millis(STALL));
        let stalled = table.open.values().filter(|state| state.is_stalled() && state.since_ms() <= since);
        if let Some(state) = stalled.min_by_key(|state| state.since_ms()).cloned() {
            self.close(&mut table, &state, Closing::Now);
        }
    }

    /// Makes a connection that of a tenant: it is counted there, and no longer where it was. At `limit`
    /// an idle one of the same tenant is evicted; returns `false` if none is idle.
    fn assign(&self, state: &Arc<ConnectionState>, tenant: Option<&TenantName>, limit: usize) -> bool {
        if state.is_of(tenant) {
            return true;
        }
        let mut table = self.table.lock();
        if let Some(tenant) = tenant
            && table.of_tenant.get(tenant).copied().unwrap_or(0) >= limit
            && !self.evict(&mut table, |other| other.is_of(Some(tenant)))
        {
            self.refused.fetch_add(1, Relaxed);
            return false;
        }
        let is_counted = table.remove(state);
        state.set_tenant(tenant.cloned());
        if is_counted {
            table.insert(state);
        }
        true
    }

    /// Counts an evicted connection again. Returns `false` if too many are above the limit.
    fn readmit(&self, state: &Arc<ConnectionState>) -> bool {
        let mut table = self.table.lock();
        let may = table.open.len() < self.limits.connections.saturating_add(MAX_OVER);
        if may {
            table.insert(state);
            self.leaving.fetch_sub(1, Relaxed);
            self.ended.notify_waiters();
        }
        may
    }

    fn leave(&self, state: &ConnectionState) {
        if !self.table.lock().remove(state) {
            self.leaving.fetch_sub(1, Relaxed);
        }
        self.ended.notify_waiters();
    }

    /// Returns once few evicted connections are left. Accepting must not be faster than closing, or
    /// far more connections are open than the limit allows.
    pub(super) async fn settled(&self) {
        let settled = async {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                if !self.is_crowded() {
                    return;
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(LEAVING_TIME, settled).await;
    }

    /// Returns whether new connections wait for evicted ones to end.
    fn is_crowded(&self) -> bool {
        self.leaving.load(Relaxed) >= self.limits.leaving
    }

    /// Returns how many connections are open, evicted ones included.
    pub(super) fn open(&self) -> usize {
        self.table.lock().open.len() + self.leaving.load(Relaxed)
    }

    /// Milliseconds since the server was made.
    fn now_ms(&self) -> u64 {
        guard::millis(self.started.elapsed())
    }

    /// Ends every connection after its requests in flight, and all of them by `deadline`.
    pub(super) fn drain(&self, deadline: tokio::time::Instant) {
        let mut table = self.table.lock();
        table.deadline = Some(deadline);
        for state in table.open.values() {
            state.close(Closing::WhenDone);
        }
    }

    /// Returns when the last connection has to end; `None` before the signal to stop.
    pub(super) fn deadline(&self) -> Option<tokio::time::Instant> {
        self.table.lock().deadline
    }

    /// Returns once all connections that were open at the signal to stop have ended.
    pub(super) async fn drained(&self) {
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if self.table.lock().open.values().all(|state| state.is_late) {
                return;
            }
            ended.await;
        }
    }

    /// Returns how much of the limits is in use.
    pub(super) fn usage(&self) -> ConnectionUsage {
        ConnectionUsage {
            connections: self.table.lock().open.len(),
            max_connections: self.limits.connections,
            requests: self.limits.requests - self.requests.available_permits(),
            max_requests: self.limits.requests,
            evicted: self.evicted.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

impl ConnectionTable {
    /// Adds a connection.
    fn insert(&mut self, state: &Arc<ConnectionState>) {
        self.open.insert(state.id, state.clone());
        *self.of_client.entry(state.client).or_default() += 1;
        if let Some(tenant) = state.tenant() {
            *self.of_tenant.entry(tenant).or_default() += 1;
        }
    }

    /// Removes a connection. Returns `false` if it was removed before.
    fn remove(&mut self, state: &ConnectionState) -> bool {
        if self.open.remove(&state.id).is_none() {
            return false;
        }
        uncount(&mut self.of_client, &state.client);
        if let Some(tenant) = state.tenant() {
            uncount(&mut self.of_tenant, &tenant);
        }
        true
    }
}

/// Counts one less. None leaves nothing behind.
fn uncount<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
