//! What is known of one connection, by whoever has to choose one.

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

use super::Connections;

/// That a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Closing {
    /// After the requests in the works, and the one that is likely on its way.
    WhenDone,
    /// In a moment, for it is idle. A request that comes in the same moment is still answered.
    MakeRoom,
    /// At once.
    Now,
}

/// When a connection has been idle for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Expiry {
    /// Now.
    Due,
    /// Not before that time has passed.
    After(Duration),
}

/// One connection. All counts are of its own requests.
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) client: IpAddr,
    /// Whether it came after the signal to stop.
    pub(super) is_late: bool,
    /// Requests in the works.
    active: AtomicU32,
    /// Of these, how many wait for the client to take a part of the answer.
    blocked: AtomicU32,
    /// When it became idle, or last made progress.
    since_ms: AtomicU64,
    /// Whether it had a request yet.
    was_used: AtomicBool,
    /// A [`Closing`], from 1; 0 while it may go on.
    closing: AtomicU8,
    task: AtomicWaker,
}

impl Slot {
    pub(super) fn new(id: u64, client: IpAddr, now_ms: u64, is_late: bool) -> Self {
        Self {
            id,
            client,
            is_late,
            active: AtomicU32::new(0),
            blocked: AtomicU32::new(0),
            since_ms: AtomicU64::new(now_ms),
            was_used: AtomicBool::new(false),
            closing: AtomicU8::new(0),
            task: AtomicWaker::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.load(Relaxed) == 0
    }

    /// Whether all that it has in the works waits for the client.
    pub(super) fn is_stalled(&self) -> bool {
        let active = self.active.load(Relaxed);
        active > 0 && self.blocked.load(Relaxed) >= active
    }

    pub(super) fn since_ms(&self) -> u64 {
        self.since_ms.load(Relaxed)
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

/// A connection's place among the others; dropped when it ends.
pub(in crate::server) struct Ticket {
    slot: Arc<Slot>,
    all: Arc<Connections>,
}

impl Ticket {
    pub(super) fn new(slot: Arc<Slot>, all: Arc<Connections>) -> Self {
        Self { slot, all }
    }

    /// Whether the connection came after the signal to stop: it is closed after its first answer.
    pub(in crate::server) fn is_late(&self) -> bool {
        self.slot.is_late
    }

    /// Whether the connection had a request yet.
    pub(in crate::server) fn was_used(&self) -> bool {
        self.slot.was_used.load(Relaxed)
    }

    /// Returns how many connections are open, this one included.
    pub(in crate::server) fn open_connections(&self) -> usize {
        self.all.open()
    }

    /// Whether no request is in the works.
    pub(in crate::server) fn is_idle(&self) -> bool {
        self.slot.is_idle()
    }

    /// Takes the place back that was given to another, for a request that came in the same moment. Returns whether it may.
    pub(in crate::server) fn comes_back(&self) -> bool {
        self.all.take_back(&self.slot)
    }

    /// Counts a request in. `None` where too many are in the works.
    pub(in crate::server) fn begin(&self) -> Option<Active> {
        self.all.begin(&self.slot)
    }

    /// Is ready when the connection has to end in this way, or a harder one.
    pub(in crate::server) fn poll_closing(&self, cx: &mut Context<'_>, way: Closing) -> Poll<Closing> {
        let closing = || self.slot.closing().filter(|closing| *closing as u8 >= way as u8);
        if let Some(closing) = closing() {
            return Poll::Ready(closing);
        }
        self.slot.task.register(cx.waker());
        closing().map_or(Poll::Pending, Poll::Ready)
    }

    /// Returns whether the connection has been idle for too long: `first` before its first request, `between` later.
    pub(in crate::server) fn expiry(&self, first: Duration, between: Duration) -> Expiry {
        let bound = if self.slot.was_used.load(Relaxed) { between } else { first };
        if !self.slot.is_idle() {
            return Expiry::After(bound);
        }
        let idle = Duration::from_millis(self.all.now_ms().saturating_sub(self.slot.since_ms()));
        bound.checked_sub(idle).filter(|left| !left.is_zero()).map_or(Expiry::Due, Expiry::After)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.leave(&self.slot);
    }
}

/// A request in the works, from its head to the last byte of its answer.
pub(in crate::server) struct Active {
    slot: Arc<Slot>,
    all: Arc<Connections>,
    is_blocked: bool,
}

impl Active {
    pub(super) fn new(slot: Arc<Slot>, all: Arc<Connections>) -> Self {
        slot.was_used.store(true, Relaxed);
        slot.active.fetch_add(1, Relaxed);
        Self { slot, all, is_blocked: false }
    }

    /// A part of the answer was handed over, and the client has to take it now.
    pub(in crate::server) fn block(&mut self) {
        if !self.is_blocked {
            self.is_blocked = true;
            self.slot.blocked.fetch_add(1, Relaxed);
            self.slot.since_ms.store(self.all.now_ms(), Relaxed);
        }
    }

    /// The client has taken what was handed over.
    pub(in crate::server) fn unblock(&mut self) {
        if self.is_blocked {
            self.is_blocked = false;
            self.slot.blocked.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.unblock();
        // First the time: one that is idle must never look as if it were idle since its last request but one.
        self.slot.since_ms.store(self.all.now_ms(), Relaxed);
        self.slot.active.fetch_sub(1, Relaxed);
        self.all.requests.fetch_sub(1, Relaxed);
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
