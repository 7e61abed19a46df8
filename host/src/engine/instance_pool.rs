//! How many instances live at once, where there are many guests. An idle one makes room for one
//! that has a call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

/// Longest wait for an idle instance to end.
const WAIT: Duration = Duration::from_secs(2);
/// When another one is asked to end: the first may have got a call in the meantime.
const NEXT: Duration = Duration::from_millis(50);

/// The places of all instances of the process.
#[derive(Debug)]
pub(crate) struct InstancePool {
    most: usize,
    /// An instance without a call for so long ends by itself.
    pub(super) idle: Duration,
    state: Mutex<Places>,
    /// A place has become free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    /// The idle ones, the one that has been idle for longest first.
    idle: BTreeMap<u64, Weak<Notify>>,
    next: u64,
}

/// The place of one instance; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<InstancePool>,
    /// Its number among the idle ones.
    idle_since: Option<u64>,
    must_end: Arc<Notify>,
}

impl InstancePool {
    /// At most `most` instances; one that is idle for `idle` ends.
    #[must_use]
    pub(crate) fn new(most: usize, idle: Duration) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), idle, state: Mutex::default(), freed: Notify::new() })
    }

    /// Returns how many instances there are.
    #[must_use]
    pub(crate) fn taken(&self) -> usize {
        self.state.lock().taken
    }

    /// Takes a place. If there is none, the longest idle instance ends. Returns `None` if all are
    /// busy for two seconds.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Place> {
        let free = async {
            loop {
                let freed = self.freed.notified();
                if self.try_take() {
                    return;
                }
                // An error is the end of the time.
                let _ = timeout(NEXT, freed).await;
            }
        };
        timeout(WAIT, free).await.ok()?;
        Some(Place { pool: self.clone(), idle_since: None, must_end: Arc::default() })
    }

    fn try_take(&self) -> bool {
        let mut state = self.state.lock();
        if state.taken < self.most {
            state.taken += 1;
            return true;
        }
        while let Some((_, instance)) = state.idle.pop_first() {
            if let Some(instance) = instance.upgrade() {
                instance.notify_one();
                break;
            }
        }
        false
    }
}

impl Place {
    /// The instance has no call: it may have to end for another one.
    pub(super) fn set_idle(&mut self) {
        if self.idle_since.is_none() {
            let mut state = self.pool.state.lock();
            let number = state.next;
            state.next += 1;
            state.idle.insert(number, Arc::downgrade(&self.must_end));
            self.idle_since = Some(number);
        }
    }

    /// The instance has a call.
    pub(super) fn set_busy(&mut self) {
        if let Some(number) = self.idle_since.take() {
            self.pool.state.lock().idle.remove(&number);
        }
    }

    /// Returns when the idle instance has to end: it has been idle for long, or another one needs
    /// its place.
    pub(super) async fn must_end(&self) {
        // An error is the end of the time.
        let _ = timeout(self.pool.idle, self.must_end.notified()).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.taken -= 1;
        if let Some(number) = self.idle_since {
            state.idle.remove(&number);
        }
        drop(state);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
