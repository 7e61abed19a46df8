//! The state of one connection, by which connections are chosen for eviction.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use larder_common::TenantName;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::{Connections, FIRST_MOMENT, LAST_MOMENT};

/// How a connection has to end. A later case is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Closing {
    /// After the requests in flight, and one that is probably on its way.
    WhenDone,
    /// Evicted: in a moment, because it is idle. A request that arrives in the same moment is still
    /// served.
    MakeRoom,
    /// At once.
    Now,
}

/// Whether a connection has been idle for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Expiry {
    /// Now.
    Due,
    /// Not before this time has passed.
    After(Duration),
}

/// One connection. All counts are of its own requests.
pub(super) struct ConnectionState {
    pub(super) id: u64,
    pub(super) client: IpAddr,
    /// Whether it came after the signal to stop.
    pub(super) is_late: bool,
    /// Requests in flight.
    active: AtomicU32,
    /// Of these, how many wait for the client to read a part of the response.
    blocked: AtomicU32,
    /// When it became idle, or last made progress.
    since_ms: AtomicU64,
    /// Whether it has had a request.
    was_used: AtomicBool,
    /// Whether it has had an authorized request.
    was_authorized: AtomicBool,
    /// Whose its latest request was, of the tenants that are counted.
    tenant: Mutex<Option<TenantName>>,
    /// A [`Closing`], from 1; 0 while it may go on.
    closing: AtomicU8,
    task: AtomicWaker,
}

impl ConnectionState {
    pub(super) fn new(id: u64, client: IpAddr, now_ms: u64, is_late: bool) -> Self {
        Self {
            id,
            client,
            is_late,
            active: AtomicU32::new(0),
            blocked: AtomicU32::new(0),
            since_ms: AtomicU64::new(now_ms),
            was_used: AtomicBool::new(false),
            was_authorized: AtomicBool::new(false),
            tenant: Mutex::default(),
            closing: AtomicU8::new(0),
            task: AtomicWaker::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.load(Relaxed) == 0
    }

    /// Returns whether all its requests in flight wait for the client.
    pub(super) fn is_stalled(&self) -> bool {
        let active = self.active.load(Relaxed);
        active > 0 && self.blocked.load(Relaxed) >= active
    }

    pub(super) fn was_used(&self) -> bool {
        self.was_used.load(Relaxed)
    }

    pub(super) fn was_authorized(&self) -> bool {
        self.was_authorized.load(Relaxed)
    }

    pub(super) fn since_ms(&self) -> u64 {
        self.since_ms.load(Relaxed)
    }

    pub(super) fn is_of(&self, tenant: Option<&TenantName>) -> bool {
        self.tenant.lock().as_ref() == tenant
    }

    pub(super) fn tenant(&self) -> Option<TenantName> {
        self.tenant.lock().clone()
    }

    pub(super) fn set_tenant(&self, tenant: Option<TenantName>) {
        *self.tenant.lock() = tenant;
    }

    pub(super) fn close(&self, closing: Closing) {
        self.closing.fetch_max(closing as u8 + 1, SeqCst);
        self.task.wake();
    }

    fn closing(&self) -> Option<Closing> {
        match self.closing.load(SeqCst) {
            0 => None,
            1 => Some(Closing::WhenDone),
            2 => Some(Closing::MakeRoom),
            _ => Some(Closing::Now),
        }
    }
}

/// Counts a connection until it is dropped.
pub(in crate::server) struct ConnectionGuard {
    state: Arc<ConnectionState>,
    all: Arc<Connections>,
}

impl ConnectionGuard {
    pub(super) fn new(state: Arc<ConnectionState>, all: Arc<Connections>) -> Self {
        Self { state, all }
    }

    /// Returns whether the connection came after the signal to stop: it is closed after its first
    /// response.
    pub(in crate::server) fn is_late(&self) -> bool {
        self.state.is_late
    }

    /// Returns whether the connection has had a request.
    pub(in crate::server) fn was_used(&self) -> bool {
        self.state.was_used()
    }

    /// Returns how many connections are open, this one included.
    pub(in crate::server) fn open_connections(&self) -> usize {
        self.all.open()
    }

    /// Returns whether no request is in flight.
    pub(in crate::server) fn is_idle(&self) -> bool {
        self.state.is_idle()
    }

    /// Returns whether a connection that has to end may still be read, `waited` after that was decided.
    /// While new connections wait for evicted ones to end, one that never had an authorized request
    /// goes at once; one without any request once its client has had time to send it.
    pub(in crate::server) fn may_linger(&self, waited: Duration) -> bool {
        if waited >= LAST_MOMENT {
            return false;
        }
        if self.state.was_authorized() || !self.all.is_crowded() {
            return true;
        }
        let age_ms = self.all.now_ms().saturating_sub(self.state.since_ms());
        !self.state.was_used() && age_ms < millis(FIRST_MOMENT)
    }

    /// Has the connection end once its requests are done, and returns that.
    pub(in crate::server) fn end(&self) -> Closing {
        self.state.close(Closing::WhenDone);
        Closing::WhenDone
    }

    /// Returns whether the connection has to end, in whatever way.
    pub(in crate::server) fn has_to_end(&self) -> bool {
        self.state.closing().is_some()
    }

    /// Counts the evicted connection again, for a request that came in the same moment. Returns
    /// `false` if too many are above the limit.
    pub(in crate::server) fn readmit(&self) -> bool {
        self.all.readmit(&self.state)
    }

    /// Counts a request, once there is a place for it. Returns `None` if there is none.
    pub(in crate::server) async fn begin(&self) -> Option<ActiveRequest> {
        self.all.begin(&self.state).await
    }

    /// Is ready when the connection has to end in this way or a stronger one.
    pub(in crate::server) fn poll_closing(&self, cx: &mut Context<'_>, way: Closing) -> Poll<Closing> {
        let closing = || self.state.closing().filter(|closing| *closing as u8 >= way as u8);
        if let Some(closing) = closing() {
            return Poll::Ready(closing);
        }
        self.state.task.register(cx.waker());
        closing().map_or(Poll::Pending, Poll::Ready)
    }

    /// Returns whether the connection has been idle for too long: `first` before its first request,
    /// `between` later.
    pub(in crate::server) fn expiry(&self, first: Duration, between: Duration) -> Expiry {
        let bound = if self.state.was_used() { between } else { first };
        if !self.state.is_idle() {
            return Expiry::After(bound);
        }
        let idle = Duration::from_millis(self.all.now_ms().saturating_sub(self.state.since_ms()));
        bound.checked_sub(idle).filter(|left| !left.is_zero()).map_or(Expiry::Due, Expiry::After)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.all.leave(&self.state);
    }
}

/// A request in flight, from its head to the last byte of its response.
pub(in crate::server) struct ActiveRequest {
    state: Arc<ConnectionState>,
    all: Arc<Connections>,
    is_blocked: bool,
    /// Its place among all requests in flight; `None` while it waits for one.
    _place: Option<OwnedSemaphorePermit>,
}

impl ActiveRequest {
    pub(super) fn new(state: &Arc<ConnectionState>, all: &Arc<Connections>) -> Self {
        state.was_used.store(true, Relaxed);
        state.active.fetch_add(1, Relaxed);
        Self { state: state.clone(), all: all.clone(), is_blocked: false, _place: None }
    }

    pub(super) fn with_place(mut self, place: OwnedSemaphorePermit) -> Self {
        self._place = Some(place);
        self
    }

    /// Records that a verified token or a signed URL allowed the request.
    pub(in crate::server) fn set_authorized(&self) {
        self.state.was_authorized.store(true, Relaxed);
    }

    /// Records whose the request is: its connection is that tenant's from now on, of which there are
    /// at most `limit`. Returns `false` if there are as many, and none of them is idle: then the
    /// connection ends after this request.
    pub(in crate::server) fn assign(&self, tenant: &TenantName, limit: usize) -> bool {
        let may = self.all.assign(&self.state, Some(tenant), limit);
        if !may {
            self.state.close(Closing::WhenDone);
        }
        may
    }

    /// Records that the request is of no tenant whose connections are counted.
    pub(in crate::server) fn unassign(&self) {
        self.all.assign(&self.state, None, usize::MAX);
    }

    /// Records that a part of the response was sent, and the client has to read it.
    pub(in crate::server) fn block(&mut self) {
        if !self.is_blocked {
            self.is_blocked = true;
            self.state.blocked.fetch_add(1, Relaxed);
            self.state.since_ms.store(self.all.now_ms(), Relaxed);
        }
    }

    /// Records that the client has read what was sent.
    pub(in crate::server) fn unblock(&mut self) {
        if self.is_blocked {
            self.is_blocked = false;
            self.state.blocked.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.unblock();
        // The time first: an idle connection must never seem to be idle since the request before
        // the last.
        self.state.since_ms.store(self.all.now_ms(), Relaxed);
        self.state.active.fetch_sub(1, Relaxed);
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
