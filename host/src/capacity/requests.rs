//! What saves ask of their tenant's evictor.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use larder_index::{Bound, Slot, Trust};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{HOPELESS_FOR, Saver};

/// Most scopes that are remembered as used.
const MAX_USED: usize = 10_000;

/// The requests for room of a tenant, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct RoomRequests {
    waiting: Mutex<VecDeque<RoomRequest>>,
    arrived: Notify,
    /// Areas and trust of saves for which hardly anything fitted, and when.
    hopeless: Mutex<HashMap<Hopeless, Instant>>,
    /// Repositories and scopes that reserved room since the last look.
    used: Mutex<HashSet<(String, String)>>,
    /// Whether room was reserved since the last look at the server.
    has_reserved: AtomicBool,
}

/// A save that does not fit.
#[derive(Debug)]
pub(super) struct RoomRequest {
    pub(super) saver: Saver,
    pub(super) bound: Bound,
    pub(super) bytes: u64,
    pub(super) reply: oneshot::Sender<Made>,
}

/// What the evictor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It deleted something.
    Room,
    /// Nothing may be deleted for this save.
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Hopeless {
    bound: Bound,
    repository: String,
    scope: String,
    is_full_trust: bool,
}

impl RoomRequests {
    /// Asks for room. The result comes once the evictor has done what it can.
    pub(super) fn ask(&self, saver: Saver, bound: Bound, bytes: u64) -> oneshot::Receiver<Made> {
        let (reply, made) = oneshot::channel();
        self.waiting.lock().push_back(RoomRequest { saver, bound, bytes, reply });
        self.arrived.notify_one();
        made
    }

    /// Waits for a request of a save that still waits.
    pub(super) async fn next(&self) -> RoomRequest {
        loop {
            let arrived = self.arrived.notified();
            let next = {
                let mut waiting = self.waiting.lock();
                waiting.retain(|request| !request.reply.is_closed());
                waiting.pop_front()
            };
            match next {
                Some(request) => return request,
                None => arrived.await,
            }
        }
    }

    /// Records that hardly anything fits, and that the policy deletes nothing for such a save.
    pub(super) fn note_hopeless(&self, saver: &Saver, bound: Bound) {
        let mut hopeless = self.hopeless.lock();
        hopeless.retain(|_, since| since.elapsed() < HOPELESS_FOR);
        hopeless.insert(Hopeless::of(&saver.slot, saver.trust, bound), Instant::now());
    }

    /// Forgets what was hopeless: something has left.
    pub(super) fn forget_hopeless(&self) {
        self.hopeless.lock().clear();
    }

    /// Returns whether that was recorded a moment ago.
    pub(super) fn is_hopeless(&self, slot: &Slot, trust: Trust) -> bool {
        let hopeless = self.hopeless.lock();
        if hopeless.is_empty() {
            return false;
        }
        let is_recent = |area: Hopeless| hopeless.get(&area).is_some_and(|at| at.elapsed() < HOPELESS_FOR);
        [Bound::Scope, Bound::Repository, Bound::Tenant, Bound::Server]
            .into_iter()
            .any(|bound| is_recent(Hopeless::of(slot, trust, bound)))
    }

    /// Records that room was reserved.
    pub(crate) fn note_use(&self, slot: &Slot) {
        self.has_reserved.store(true, Relaxed);
        let mut used = self.used.lock();
        if used.len() < MAX_USED {
            used.insert((slot.repository.clone(), slot.scope.clone()));
        }
    }

    /// Returns whether room was reserved since the last call.
    pub(super) fn take_reserved(&self) -> bool {
        self.has_reserved.swap(false, Relaxed)
    }

    /// Returns the repositories and scopes that reserved room since the last call.
    pub(super) fn take_used(&self) -> HashSet<(String, String)> {
        std::mem::take(&mut *self.used.lock())
    }
}

impl Hopeless {
    /// The same save elsewhere may be given room by deleting from its own scope. So what is full for one
    /// scope is not full for another.
    fn of(slot: &Slot, trust: Trust, bound: Bound) -> Self {
        Self {
            bound,
            repository: slot.repository.clone(),
            scope: slot.scope.clone(),
            is_full_trust: trust == Trust::Full,
        }
    }
}
