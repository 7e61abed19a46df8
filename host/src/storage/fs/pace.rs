//! Whether writes may be done in place.
//!
//! A write ends in the page cache, in less time than it takes to wake another thread, and while the bytes are still in the core's own
//! cache. But where more was written than the disk keeps up with, the kernel makes writers wait, and with them everything on
//! their thread. So writes in place are timed, and after a slow one there are none for a while.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A write of at most 256 KiB takes a tenth of a millisecond; this is a wait.
const SLOW: Duration = Duration::from_millis(5);

/// How long nothing is written in place after a wait: the kernel lets writers wait for 0.2 s at most, so this is 1 % of the time.
const REST: Duration = Duration::from_secs(20);

/// Times writes in place.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// In milliseconds of [`now_ms`].
    resting_until_ms: AtomicU64,
}

/// Of all disks: directories of one process mostly lie on one.
pub(super) static PACE: LazyLock<Pace> = LazyLock::new(Pace::default);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Pace {
    /// Returns whether the disk keeps up, as far as is known.
    pub(super) fn is_calm(&self) -> bool {
        now_ms() >= self.resting_until_ms.load(Relaxed)
    }

    /// Writes in place.
    pub(super) fn timed<T>(&self, write: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let written = write();
        if start.elapsed() >= SLOW {
            self.resting_until_ms.store(now_ms() + REST.as_secs() * 1000, Relaxed);
        }
        written
    }
}
