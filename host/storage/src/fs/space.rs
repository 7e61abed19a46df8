//! Keeps a reserve of the disk's space free.
//!
//! Deleting needs a little space: a row that goes is first written to the database's log, which is mostly on the same disk. So
//! bodies are refused before they use up the last of it. What bodies under way may still write is counted: what they announced, up
//! to [`AHEAD_BYTES`] each, so that many of them together do not reach into the reserve, and a client that announces much and
//! sends nothing keeps little from the others.

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::StorageError;

/// Most bytes that are held for a body ahead of what it has sent: a whole block of every known client.
const AHEAD_BYTES: u64 = 64 << 20;

/// How long a look at the free space is good.
const FRESH: Duration = Duration::from_millis(500);

/// The reserve where none is configured: 1 % of the disk, within these.
const MIN_RESERVE_BYTES: u64 = 16 << 20;
const MAX_RESERVE_BYTES: u64 = 1 << 30;

/// With less than this above the reserve the disk counts as full: hardly any entry would fit.
pub(super) const LEAST_ROOM_BYTES: u64 = 1 << 20;

/// The size of a file system and what is free on it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) total: u64,
    pub(super) free: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Free above the reserve, when it was last looked at, less what was written since.
    room: u64,
    looked: Option<Instant>,
    /// Held for bodies under way.
    held: u64,
}

/// The space of one storage.
#[derive(Debug)]
pub(super) struct Space {
    reserve_bytes: Option<u64>,
    state: Mutex<State>,
}

impl Space {
    /// Keeps so much free; `None`: 1 % of the disk, but 16 MiB at least and 1 GiB at most.
    pub(super) fn new(reserve_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Self { reserve_bytes, state: Mutex::default() })
    }

    /// Returns whether [`Self::note`] should be told anew before `bytes` are asked for.
    pub(super) fn is_stale(&self, bytes: u64) -> bool {
        let state = self.state.lock();
        let age = state.looked.map(|looked| looked.elapsed());
        // Where it would be refused it is worth another look.
        age.is_none_or(|age| age >= FRESH) || state.held.saturating_add(bytes) > state.room
    }

    /// Takes note of what is free now.
    pub(super) fn note(&self, measured: Measured) {
        let share = (measured.total / 100).clamp(MIN_RESERVE_BYTES, MAX_RESERVE_BYTES);
        let reserve = self.reserve_bytes.unwrap_or(share);
        let mut state = self.state.lock();
        state.room = measured.free.saturating_sub(reserve);
        state.looked = Some(Instant::now());
    }

    /// Returns whether a body of any use may fit. What is held for others does not count: much of it may never come.
    pub(super) fn has_room(&self) -> bool {
        self.state.lock().room >= LEAST_ROOM_BYTES
    }

    /// Begins a body of this length, if it fits.
    pub(super) fn claim(self: &Arc<Self>, length: Option<u64>) -> Result<Claim, StorageError> {
        let mut claim = Claim { space: Arc::clone(self), to_come: length, held: 0 };
        let state = self.state.lock();
        if state.held.saturating_add(length.unwrap_or(0)) > state.room {
            return Err(StorageError::NoSpace);
        }
        drop(state);
        claim.hold(length.unwrap_or(0).min(AHEAD_BYTES))?;
        Ok(claim)
    }
}

/// The space of one body under way.
#[derive(Debug)]
pub(super) struct Claim {
    space: Arc<Space>,
    /// What was announced and is not written yet.
    to_come: Option<u64>,
    held: u64,
}

impl Claim {
    /// How many bytes have to be held in addition, before so many are written.
    pub(super) fn lacks(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.held)
    }

    /// Holds more.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), StorageError> {
        let mut state = self.space.state.lock();
        let held = state.held.saturating_add(bytes);
        if bytes > 0 && held > state.room {
            return Err(StorageError::NoSpace);
        }
        state.held = held;
        self.held += bytes;
        Ok(())
    }

    /// Takes note that so many bytes were written: they are not free any more, and not held.
    pub(super) fn written(&mut self, bytes: u64) {
        let mut state = self.space.state.lock();
        let freed = bytes.min(self.held);
        state.held -= freed;
        state.room = state.room.saturating_sub(bytes);
        self.held -= freed;
        if let Some(to_come) = &mut self.to_come {
            *to_come = to_come.saturating_sub(bytes);
            // As far ahead as before, where there is room; else it is asked for when the bytes come.
            let more = (*to_come).min(AHEAD_BYTES).saturating_sub(self.held);
            let more = more.min(state.room.saturating_sub(state.held));
            state.held += more;
            self.held += more;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.space.state.lock().held -= self.held;
    }
}
