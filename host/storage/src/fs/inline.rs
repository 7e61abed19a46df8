//! Whether the disk may be used in place, without another thread.
//!
//! A write ends in the page cache, and a query is answered from the kernel's memory, in less time
//! than it takes to wake another thread. But if more is written than the disk can take, or the disk
//! is cold or on a network, the kernel blocks the caller, and everything else on its thread. So
//! calls in place are timed, and after one that was blocked no call of its kind is made in place for
//! a while.
//!
//! A call may also take long because others had the core meanwhile. On a busy machine that happens
//! several times a second, and another thread would not help: it would cost more of what is short.
//! Only the kernel can tell the two apart, by a system call before and after. So that is done only for
//! a while after a call was slow.

#[cfg(test)]
mod tests;

use std::{
    ffi::c_long,
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};

/// A call that takes this long, and waited for something, was blocked. A write of 256 KiB takes a
/// tenth of a millisecond, a query some microseconds.
const SLOW: Duration = Duration::from_millis(5);

/// How long no call of a kind is made in place after a slow one. The kernel blocks writers for 0.2
/// s at most, so this is 1 % of the time.
const BACKOFF: Duration = Duration::from_secs(20);

/// The same after a slow call of which nobody knows whether it was blocked: the next ones will tell.
const UNSURE_BACKOFF: Duration = Duration::from_secs(2);

/// How long it is found out why calls of a kind are slow, after one was.
const WATCH: Duration = Duration::from_secs(60);

/// Times the calls in place of one kind.
#[derive(Debug, Default)]
pub(super) struct InlineGate {
    /// In milliseconds of [`now_ms`]. 0: no call was ever blocked.
    blocked_until_ms: AtomicU64,
    /// Until when it is found out why a call is slow. 0: none was ever slow.
    watched_until_ms: AtomicU64,
}

/// One for each kind: a slow write does not make queries slow.
#[derive(Debug, Default)]
pub(super) struct InlineGates {
    /// Short writes, to open files.
    pub(super) writes: InlineGate,
    /// `stat` and `open`.
    pub(super) queries: InlineGate,
    /// New files.
    pub(super) creates: InlineGate,
    /// Those that are being made.
    pub(super) creations: Creations,
}

/// The files that are being made. The kernel makes one at a time in a directory, and who waits for it blocks
/// everything else on its thread: for as long as the other is not even running, where threads have to share a
/// core. Too short for [`InlineGate`], but a tenant that made small files without end held up another one's
/// look-ups for milliseconds each. So one file at a time is made in place.
#[derive(Debug, Default)]
pub(super) struct Creations(AtomicUsize);

/// A file that is being made.
pub(super) struct Creation<'a>(&'a Creations);

impl Creations {
    /// Begins to make a file.
    pub(super) fn begin(&self) -> Creation<'_> {
        self.0.fetch_add(1, Relaxed);
        Creation(self)
    }

    /// The same, if no other is being made.
    pub(super) fn begin_alone(&self) -> Option<Creation<'_>> {
        self.0.compare_exchange(0, 1, Relaxed, Relaxed).ok().map(|_| Creation(self))
    }
}

impl Drop for Creation<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl InlineGates {
    /// `may_hang`: the file system may not respond at all, so no call is ever made in place.
    pub(super) fn new(may_hang: bool) -> Self {
        let inline = Self::default();
        if may_hang {
            for gate in [&inline.writes, &inline.queries, &inline.creates] {
                gate.blocked_until_ms.store(u64::MAX, Relaxed);
            }
        }
        inline
    }
}

impl InlineGate {
    /// Returns whether a call may be made in place.
    pub(super) fn allowed(&self) -> bool {
        has_passed(&self.blocked_until_ms)
    }

    /// Runs and times a call, in place or on a thread.
    pub(super) fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let waits = (!has_passed(&self.watched_until_ms)).then(waits_of_thread);
        let start = Instant::now();
        let done = work();
        if start.elapsed() >= SLOW {
            self.was_slow(waits);
        }
        done
    }

    /// Records a slow call. `waits`: of its thread before it, if that was asked for.
    fn was_slow(&self, waits: Option<c_long>) {
        let now_ms = now_ms();
        let after = |time: Duration| now_ms + time.as_secs() * 1000;
        self.watched_until_ms.fetch_max(after(WATCH), Relaxed);
        let backoff = match waits {
            None => UNSURE_BACKOFF,
            Some(waits) if waits_of_thread() != waits => BACKOFF,
            Some(_) => return,
        };
        self.blocked_until_ms.fetch_max(after(backoff), Relaxed);
    }
}

/// Returns whether this time is over. Without a look at the clock where there was never one.
fn has_passed(until_ms: &AtomicU64) -> bool {
    match until_ms.load(Relaxed) {
        0 => true,
        until_ms => now_ms() >= until_ms,
    }
}

/// Returns how often this thread gave its core up because it had to wait. One system call, half a
/// microsecond: as much as a query.
fn waits_of_thread() -> c_long {
    // Never fails on Linux.
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.voluntary_context_switches())
}
