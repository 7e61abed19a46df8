//! Keeps a reserve of the disk's space free.
//!
//! Deleting needs a little space: a deleted row is first written to the database's log, which is
//! mostly on the same disk. So bodies are refused before they use up the reserve. What running
//! bodies may still write counts as used: their announced length, up to [`AHEAD_BYTES`] each. So
//! many of them cannot reach into the reserve, and a client that announces much and sends nothing
//! takes little from others.

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::StorageError;

/// Most bytes reserved for a body ahead of what it has sent: a whole block of every known client.
const AHEAD_BYTES: u64 = 64 << 20;

/// How long a measurement of the free space is valid.
const FRESH: Duration = Duration::from_millis(500);

/// The default reserve: 1 % of the disk, within these.
const MIN_RESERVE_BYTES: u64 = 16 << 20;
const MAX_RESERVE_BYTES: u64 = 1 << 30;

/// With less than this above the reserve the disk counts as full: hardly any entry would fit.
pub(super) const LEAST_ROOM_BYTES: u64 = 1 << 20;

/// Size and free space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) total: u64,
    pub(super) free: u64,
}

#[derive(Debug, Default)]
struct SpaceState {
    /// Free bytes above the reserve at the last measurement, minus what was written since.
    room: u64,
    looked: Option<Instant>,
    /// Bytes reserved for running bodies.
    held: u64,
}

/// The space of one storage.
#[derive(Debug)]
pub(super) struct Space {
    reserve_bytes: Option<u64>,
    state: Mutex<SpaceState>,
}

impl Space {
    /// `reserve_bytes`: how much stays free. Default: 1 % of the disk, at least 16 MiB and at most
    /// 1 GiB.
    pub(super) fn new(reserve_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Self { reserve_bytes, state: Mutex::default() })
    }

    /// Returns whether a new measurement is needed before `bytes` are reserved.
    pub(super) fn is_stale(&self, bytes: u64) -> bool {
        let state = self.state.lock();
        let age = state.looked.map(|looked| looked.elapsed());
        // Measure again before refusing.
        age.is_none_or(|age| age >= FRESH) || state.held.saturating_add(bytes) > state.room
    }

    /// Records a measurement.
    pub(super) fn note(&self, measured: Measured) {
        let share = (measured.total / 100).clamp(MIN_RESERVE_BYTES, MAX_RESERVE_BYTES);
        let reserve = self.reserve_bytes.unwrap_or(share);
        let mut state = self.state.lock();
        state.room = measured.free.saturating_sub(reserve);
        state.looked = Some(Instant::now());
    }

    /// Returns whether a useful body may fit. Space reserved for others does not count: much of it
    /// may never be used.
    pub(super) fn has_room(&self) -> bool {
        self.state.lock().room >= LEAST_ROOM_BYTES
    }

    /// Begins a body of this length, if it fits.
    pub(super) fn claim(self: &Arc<Self>, length: Option<u64>) -> Result<SpaceClaim, StorageError> {
        let mut claim = SpaceClaim { space: Arc::clone(self), to_come: length, held: 0 };
        let state = self.state.lock();
        if state.held.saturating_add(length.unwrap_or(0)) > state.room {
            return Err(StorageError::NoSpace);
        }
        drop(state);
        claim.hold(length.unwrap_or(0).min(AHEAD_BYTES))?;
        Ok(claim)
    }
}

/// The reserved space of one body.
#[derive(Debug)]
pub(super) struct SpaceClaim {
    space: Arc<Space>,
    /// Announced bytes that are not written yet.
    to_come: Option<u64>,
    held: u64,
}

impl SpaceClaim {
    /// Bytes to reserve before `bytes` can be written.
    pub(super) fn lacks(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.held)
    }

    /// Reserves more.
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

    /// Records that bytes were written: they are used, and no longer reserved.
    pub(super) fn written(&mut self, bytes: u64) {
        let mut state = self.space.state.lock();
        let freed = bytes.min(self.held);
        state.held -= freed;
        state.room = state.room.saturating_sub(bytes);
        self.held -= freed;
        if let Some(to_come) = &mut self.to_come {
            *to_come = to_come.saturating_sub(bytes);
            // Reserve as far ahead as before, if there is space; else when the bytes arrive.
            let more = (*to_come).min(AHEAD_BYTES).saturating_sub(self.held);
            let more = more.min(state.room.saturating_sub(state.held));
            state.held += more;
            self.held += more;
        }
    }
}

impl Drop for SpaceClaim {
    fn drop(&mut self) {
        self.space.state.lock().held -= self.held;
    }
}
