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
const REST: Duration = Duration::from_secs(20);

/// Times what is done in place, of one kind.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// In milliseconds of [`now_ms`].
    resting_until_ms: AtomicU64,
}

/// One for each kind: a slow write says nothing of looks at what is in memory.
#[derive(Debug, Default)]
pub(super) struct Paces {
    /// Of short stretches of bytes, to files that are open.
    pub(super) writes: Pace,
    /// `stat` and `open`.
    pub(super) looks: Pace,
    /// New files.
    pub(super) creates: Pace,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Paces {
    /// `may_hang`: the file system is of a kind that may not answer at all, so nothing is ever done in place.
    pub(super) fn new(may_hang: bool) -> Self {
        let paces = Self::default();
        if may_hang {
            for pace in [&paces.writes, &paces.looks, &paces.creates] {
                pace.resting_until_ms.store(u64::MAX, Relaxed);
            }
        }
        paces
    }
}

impl Pace {
    /// Returns whether the disk keeps up, as far as is known.
    pub(super) fn is_calm(&self) -> bool {
        now_ms() >= self.resting_until_ms.load(Relaxed)
    }

    /// Does something of the kind, in place or on a thread.
    pub(super) fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        if start.elapsed() >= SLOW {
            self.resting_until_ms.fetch_max(now_ms() + REST.as_secs() * 1000, Relaxed);
        }
        done
    }
}
