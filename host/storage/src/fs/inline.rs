//! Whether the disk may be asked in place.
//!
//! A write ends in the page cache, and a look at a file that is known in the kernel's memory, in less time than it takes to wake
//! another thread. But where more was written than the disk keeps up with, where the disk is cold, or where it is at the other end
//! of a network, the kernel makes who asks wait, and with him everything on his thread. So what is done in place is timed, and
//! after a slow one there is none of its kind for a while.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A write of at most 256 KiB takes a tenth of a millisecond, a look some microseconds; this is a wait.
const SLOW: Duration = Duration::from_millis(5);

/// How long nothing of a kind is done in place after a wait: the kernel lets writers wait for 0.2 s at most, so this is 1 % of the
/// time.
const BACKOFF: Duration = Duration::from_secs(20);

/// Times what is done in place, of one kind.
#[derive(Debug, Default)]
pub(super) struct InlineGate {
    /// In milliseconds of [`now_ms`].
    blocked_until_ms: AtomicU64,
}

/// One for each kind: a slow write says nothing of looks at what is in memory.
#[derive(Debug, Default)]
pub(super) struct InlineGates {
    /// Of short stretches of bytes, to files that are open.
    pub(super) writes: InlineGate,
    /// `stat` and `open`.
    pub(super) looks: InlineGate,
    /// New files.
    pub(super) creates: InlineGate,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl InlineGates {
    /// `may_hang`: the file system is of a kind that may not answer at all, so nothing is ever done in place.
    pub(super) fn new(may_hang: bool) -> Self {
        let inline = Self::default();
        if may_hang {
            for gate in [&inline.writes, &inline.looks, &inline.creates] {
                gate.blocked_until_ms.store(u64::MAX, Relaxed);
            }
        }
        inline
    }
}

impl InlineGate {
    /// Returns whether the disk keeps up, as far as is known.
    pub(super) fn allowed(&self) -> bool {
        now_ms() >= self.blocked_until_ms.load(Relaxed)
    }

    /// Does something of the kind, in place or on a thread.
    pub(super) fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        if start.elapsed() >= SLOW {
            self.blocked_until_ms.fetch_max(now_ms() + BACKOFF.as_secs() * 1000, Relaxed);
        }
        done
    }
}
