//! How much a reader reads at once. A client that reads slowly, or not at all, holds the chunk that it
//! was given, so chunks grow only while they are taken quickly.

use std::time::{Duration, Instant};

use super::budget::MIN_READ_BYTES;

/// The first chunk, in bytes.
const FIRST_BYTES: usize = 64 << 10;
/// The largest chunk, in bytes. Half of it takes a tenth more processor time, twice of it as much.
const MAX_BYTES: usize = 512 << 10;
/// How much larger, or smaller, the next chunk is.
const STEP: usize = 4;
/// A chunk that was taken within this time may be followed by a larger one.
const QUICK: Duration = Duration::from_millis(100);
/// After a longer time a smaller one follows.
const SLOW: Duration = Duration::from_secs(1);
/// Chunks that a connection takes ahead of its client.
const AHEAD: u32 = 2;

/// The size of a reader's next chunk.
#[derive(Debug)]
pub(super) struct ReadSize {
    bytes: usize,
    /// When the last chunk was given.
    given: Option<Instant>,
    /// Chunks in a row that were taken quickly.
    quick: u32,
}

impl ReadSize {
    pub(super) fn new() -> Self {
        Self { bytes: FIRST_BYTES, given: None, quick: 0 }
    }

    /// Returns the size of the chunk that is asked for now, in bytes.
    pub(super) fn next(&mut self, now: Instant) -> usize {
        if let Some(given) = self.given.take() {
            let taken_in = now.saturating_duration_since(given);
            self.quick = if taken_in < QUICK { self.quick + 1 } else { 0 };
            if self.quick >= AHEAD {
                self.bytes = (STEP * self.bytes).min(MAX_BYTES);
            } else if taken_in > SLOW {
                self.bytes = (self.bytes / STEP).max(MIN_READ_BYTES);
            }
        }
        self.bytes
    }

    /// Records that the chunk was given.
    pub(super) fn given(&mut self, now: Instant) {
        self.given = Some(now);
    }
}

#[cfg(test)]
mod tests;
