//! All open connections: how many there may be, and which one goes when another needs its place.
//!
//! Every bound of the server on connections and requests is kept here. A connection is accepted first and judged then, so
//! that nobody waits unseen. When the bound is reached, the connection that stands idle longest makes room; where none is
//! idle the newcomer is refused.

mod slot;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::slot::Slot;
pub(super) use self::slot::{Active, Closing, Expiry, Ticket};
use super::peer::client_key;
use crate::throttle::Throttle;

/// How long a client may take nothing before its connection goes because requests of others need its place.
const STALL: Duration = Duration::from_secs(5);
/// Most connections above the bound: those that had to go and got a request in the same moment.
const MAX_OVER: usize = 8;
/// Longest wait for connections that make room. A thread that takes longer to get to them is held up; accepting must not be.
const LEAVING_TIME: Duration = Duration::from_secs(1);

/// The bounds on connections and requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most connections at once.
    pub(super) connections: usize,
    /// Most of one client.
    pub(super) per_client: usize,
    /// Most connections that were told to make room and have not ended yet: each still has its descriptor and its buffers.
    pub(super) leaving: usize,
    /// Most requests in the works at once, from their first byte to the last of their answer.
    pub(super) requests: usize,
}

/// What of the bounds is used, and how often they were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionUsage {
    /// Connections that are open.
    pub connections: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Requests in the works.
    pub requests: usize,
    /// Most requests at once.
    pub max_requests: usize,
    /// Connections that were closed to make room.
    pub evicted: usize,
    /// Connections and requests that were refused.
    pub refused: usize,
}

/// The open connections.
pub(super) struct Connections {
    limits: Limits,
    table: Mutex<Table>,
    requests: AtomicUsize,
    evicted: AtomicUsize,
    refused: AtomicUsize,
    /// Connections that were told to make room and have not ended yet.
    leaving: AtomicUsize,
    started: Instant,
    /// Told when a connection ends, or has its place again.
    ended: Notify,
    crowded: Throttle,
    busy: Throttle,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Slot>>,
    of_client: HashMap<IpAddr, usize>,
    /// Set by the signal to stop: when the last connection has to end.
    deadline: Option<tokio::time::Instant>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            requests: AtomicUsize::new(0),
            evicted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            started: Instant::now(),
            ended: Notify::new(),
            crowded: Throttle::default(),
            busy: Throttle::default(),
        })
    }

    /// Takes a new connection in, if need be in the place of an idle one. `exempt` clients have no bound of their own.
    /// `None` where there is no room.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, exempt: bool) -> Option<Ticket> {
        let client = client_key(address);
        let mut table = self.table.lock();
        let of_client = table.of_client.get(&client).copied().unwrap_or(0);
        let room = if !exempt && of_client >= self.limits.per_client {
            self.crowd("a client address is at its connection limit (server.max_connections_per_client)");
            self.evict(&mut table, |slot| slot.client == client)
        } else if table.open.len() >= self.limits.connections {
            self.crowd("the server is at its connection limit (server.max_connections)");
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
        let slot = Arc::new(Slot::new(id, client, self.now_ms(), table.deadline.is_some()));
        table.insert(&slot);
        Some(Ticket::new(slot, self.clone()))
    }

    fn crowd(&self, what: &str) {
        self.crowded.log(|times| {
            tracing::warn!(
                times,
                "{what}: closing the one that has been idle longest, or refusing the new one"
            );
        });
    }

    /// Closes the connection among these that is idle longest. Returns whether there was one.
    fn evict(&self, table: &mut Table, among: impl Fn(&Slot) -> bool) -> bool {
        let idle = table.open.values().filter(|slot| slot.is_idle() && among(slot));
        let Some(slot) = idle.min_by_key(|slot| slot.since_ms()).cloned() else { return false };
        self.close(table, &slot, Closing::MakeRoom);
        true
    }

    fn close(&self, table: &mut Table, slot: &Arc<Slot>, how: Closing) {
        // At once, so that its place is free; its task ends in a moment.
        table.remove(slot);
        slot.close(how);
        self.leaving.fetch_add(1, Relaxed);
        self.evicted.fetch_add(1, Relaxed);
    }

    /// Makes room among connections that are idle, because the process has no descriptor left.
    pub(super) fn shed_idle(&self) {
        self.evict(&mut self.table.lock(), |_| true);
    }

    /// Counts a request of this connection in, until the result is dropped. `None` where too many are in the works. The last quarter
    /// is for connections that have none: with many streams a few clients would have all.
    fn begin(self: &Arc<Self>, slot: &Arc<Slot>) -> Option<Active> {
        let limit = self.limits.requests;
        let bound = if slot.is_idle() { limit } else { limit - limit / 4 };
        if self.requests.fetch_add(1, Relaxed) >= bound {
            self.requests.fetch_sub(1, Relaxed);
            self.refused.fetch_add(1, Relaxed);
            self.busy.log(|times| {
                tracing::warn!(
                    times,
                    limit = self.limits.requests,
                    "too many requests in flight: refusing requests"
                );
            });
            self.shed_stalled();
            return None;
        }
        Some(Active::new(slot.clone(), self.clone()))
    }

    /// Cuts the connection whose client has taken nothing of its answers for longest.
    fn shed_stalled(&self) {
        let mut table = self.table.lock();
        let since = self.now_ms().saturating_sub(slot::millis(STALL));
        let stalled = table.open.values().filter(|slot| slot.is_stalled() && slot.since_ms() <= since);
        if let Some(slot) = stalled.min_by_key(|slot| slot.since_ms()).cloned() {
            self.close(&mut table, &slot, Closing::Now);
        }
    }

    /// Gives a connection its place again that had to make room. Returns `false` where too many are above the bound.
    fn take_back(&self, slot: &Arc<Slot>) -> bool {
        let mut table = self.table.lock();
        let may = table.open.len() < self.limits.connections.saturating_add(MAX_OVER);
        if may {
            table.insert(slot);
            self.leaving.fetch_sub(1, Relaxed);
            self.ended.notify_waiters();
        }
        may
    }

    fn leave(&self, slot: &Slot) {
        if !self.table.lock().remove(slot) {
            self.leaving.fetch_sub(1, Relaxed);
        }
        self.ended.notify_waiters();
    }

    /// Returns once few connections are left that were told to make room: who accepts must not be faster than those who close,
    /// or far more connections are open than there may be.
    pub(super) async fn settled(&self) {
        let settled = async {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                if self.leaving.load(Relaxed) < self.limits.leaving {
                    return;
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(LEAVING_TIME, settled).await;
    }

    /// Returns how many connections are open, those included that were told to make room.
    pub(super) fn open(&self) -> usize {
        self.table.lock().open.len() + self.leaving.load(Relaxed)
    }

    /// Milliseconds since the server was made.
    fn now_ms(&self) -> u64 {
        slot::millis(self.started.elapsed())
    }

    /// Has every connection end after its requests in the works, and all of them by `deadline`.
    pub(super) fn drain(&self, deadline: tokio::time::Instant) {
        let mut table = self.table.lock();
        table.deadline = Some(deadline);
        for slot in table.open.values() {
            slot.close(Closing::WhenDone);
        }
    }

    /// Returns when the last connection has to end, once the signal to stop was given.
    pub(super) fn deadline(&self) -> Option<tokio::time::Instant> {
        self.table.lock().deadline
    }

    /// Returns once all connections have ended that were open at the signal to stop.
    pub(super) async fn drained(&self) {
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if self.table.lock().open.values().all(|slot| slot.is_late) {
                return;
            }
            ended.await;
        }
    }

    /// Returns what of the bounds is used.
    pub(super) fn usage(&self) -> ConnectionUsage {
        ConnectionUsage {
            connections: self.table.lock().open.len(),
            max_connections: self.limits.connections,
            requests: self.requests.load(Relaxed),
            max_requests: self.limits.requests,
            evicted: self.evicted.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

impl Table {
    /// Takes a connection in that is not there.
    fn insert(&mut self, slot: &Arc<Slot>) {
        self.open.insert(slot.id, slot.clone());
        *self.of_client.entry(slot.client).or_default() += 1;
    }

    /// Forgets a connection. Returns `false` where that was done before.
    fn remove(&mut self, slot: &Slot) -> bool {
        if self.open.remove(&slot.id).is_none() {
            return false;
        }
        if let Some(count) = self.of_client.get_mut(&slot.client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&slot.client);
            }
        }
        true
    }
}
