//! The memory budget of all transfers.
//!
//! Every upload and download has a [`Transfer`], which gives the size of its chunks, provides
//! buffers to read into, and counts the bytes that it holds.
//!
//! The bound: as long as a consumer holds at most one chunk of each transfer, the transfers
//! together hold at most [`Budget::total_bytes`], and for each of them [`MIN_READ_BYTES`] (a writer:
//! [`MIN_CHUNK_BYTES`], and one chunk as its source made it). Buffers kept for reuse are a part of the total, at
//! most an eighth of it.

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use parking_lot::Mutex;

/// A writer may always hold a chunk of this size, however many transfers there are.
pub const MIN_CHUNK_BYTES: usize = 32 << 10;

/// The same for a reader: HTTP/2's usual frame. Readers can be many, because a client needs nothing but
/// a request to have one.
pub const MIN_READ_BYTES: usize = 16 << 10;

/// The largest chunk. Writes of this size take a quarter less processor time than of 256 KiB (fewer
/// changes of threads); reads take the same.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The default budget of a process.
pub const DEFAULT_TOTAL_BYTES: u64 = 24 << 20;

/// Alignment of buffers. The allocator begins large ones 16 bytes after the start of a page, and
/// copying pages there takes five times the processor time (`rep movsb` of an AMD EPYC), whatever
/// the size of the chunk.
const ALIGNMENT: usize = 64;

/// Sizes of buffers are powers of two between the two limits, so that few kinds are kept.
const CLASSES: usize = (MAX_CHUNK_BYTES / MIN_READ_BYTES).ilog2() as usize + 1;

/// The memory budget of all transfers of a process.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    active: AtomicUsize,
    held: AtomicU64,
    peak: AtomicU64,
    idle: Mutex<Idle>,
}

/// Unused buffers, by size class.
#[derive(Debug, Default)]
struct Idle {
    bytes: u64,
    buffers: [Vec<Memory>; CLASSES],
}

/// Bytes that begin at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
struct Memory {
    bytes: Box<[u8]>,
    start: usize,
    length: usize,
}

impl Memory {
    fn zeroed(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT].into_boxed_slice();
        // If the offset is unknown, the memory is usable without alignment.
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, length }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }

    fn get_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

impl Budget {
    /// Makes a budget of `total_bytes`.
    #[must_use]
    pub fn new(total_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            total: total_bytes,
            active: AtomicUsize::new(0),
            held: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            idle: Mutex::default(),
        })
    }

    /// Registers a transfer, until it and all its buffers are dropped.
    #[must_use]
    pub fn transfer(self: &Arc<Self>) -> Transfer {
        self.active.fetch_add(1, Relaxed);
        Transfer(Arc::new(Registration(Arc::clone(self))))
    }

    /// Size of a chunk of each transfer at present: its share of half the total, so that it may
    /// have two of them.
    #[must_use]
    pub fn chunk_bytes(&self) -> usize {
        power_of_two_within(self.share(), MIN_CHUNK_BYTES)
    }

    fn share(&self) -> u64 {
        self.total / (2 * self.active.load(Relaxed).max(1) as u64)
    }

    /// The total in bytes, apart from each transfer's minimum.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Number of transfers.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// Bytes held in buffers now.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Most bytes ever held at once.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    fn grow(&self, bytes: u64) {
        let held = self.held.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(held, Relaxed);
    }

    /// Takes what is left of the total, at most a fair chunk and at least a reader's minimum.
    fn grow_by_chunk(&self, want: usize) -> usize {
        let share = power_of_two_within(self.share(), MIN_READ_BYTES);
        let fair = share.min(want.next_power_of_two()).max(MIN_READ_BYTES);
        let grant =
            |held: u64| power_of_two_within(self.total.saturating_sub(held), MIN_READ_BYTES).min(fair);
        let mut held = self.held.load(Relaxed);
        loop {
            let granted = grant(held);
            let grown = held + granted as u64;
            match self.held.compare_exchange_weak(held, grown, Relaxed, Relaxed) {
                Ok(_) => {
                    self.peak.fetch_max(grown, Relaxed);
                    return granted;
                }
                Err(now) => held = now,
            }
        }
    }

    fn reuse(&self, length: usize) -> Memory {
        let mut idle = self.idle.lock();
        if let Some(buffer) = idle.buffers[class(length)].pop() {
            idle.bytes -= length as u64;
            return buffer;
        }
        if idle.bytes + self.held_bytes() > self.total {
            *idle = Idle::default();
        }
        drop(idle);
        Memory::zeroed(length)
    }

    fn keep(&self, memory: Memory) {
        let length = memory.length as u64;
        let mut idle = self.idle.lock();
        // It still counts as held.
        let has_room = idle.bytes + self.held_bytes() <= self.total;
        if has_room && idle.bytes + length <= self.total / 8 {
            idle.bytes += length;
            idle.buffers[class(memory.length)].push(memory);
        }
    }
}

fn power_of_two_within(bytes: u64, least: usize) -> usize {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(least, MAX_CHUNK_BYTES);
    1 << bytes.ilog2()
}

fn class(length: usize) -> usize {
    (length / MIN_READ_BYTES).ilog2() as usize
}

/// An upload or download. Clones are the same transfer.
#[derive(Clone, Debug)]
pub struct Transfer(Arc<Registration>);

#[derive(Debug)]
struct Registration(Arc<Budget>);

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

impl Transfer {
    fn budget(&self) -> &Arc<Budget> {
        &self.0.0
    }

    /// Number of bytes to collect before a write.
    #[must_use]
    pub fn chunk_bytes(&self) -> usize {
        if self.is_tight() { MIN_CHUNK_BYTES } else { self.budget().chunk_bytes() }
    }

    /// Returns whether the budget is used up: release bytes before reading more.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.budget().held_bytes() >= self.budget().total
    }

    /// Starts to count bytes that are held elsewhere.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold { transfer: self.clone(), bytes: 0 }
    }

    /// Returns a reader's buffer of at least [`MIN_READ_BYTES`], not much larger than `want` and within the
    /// budget. It has bytes of its last use.
    #[must_use]
    pub fn buffer(&self, want: usize) -> Buffer {
        let length = self.budget().grow_by_chunk(want);
        let hold = Hold { transfer: self.clone(), bytes: length as u64 };
        Buffer { memory: Some(self.budget().reuse(length)), filled: 0, pooled: true, hold }
    }

    /// Returns a buffer of exactly `length` zeros; `None` if the budget has not enough left.
    #[must_use]
    pub fn exact_buffer(&self, length: usize) -> Option<Buffer> {
        let budget = self.budget();
        if length > MIN_READ_BYTES && budget.held_bytes() + length as u64 > budget.total {
            return None;
        }
        let mut hold = self.hold();
        hold.grow(length);
        Some(Buffer { memory: Some(Memory::zeroed(length)), filled: 0, pooled: false, hold })
    }
}

/// Counted bytes, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    transfer: Transfer,
    bytes: u64,
}

impl Hold {
    /// Counts more bytes.
    pub fn grow(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.transfer.budget().grow(bytes as u64);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.transfer.budget().held.fetch_sub(self.bytes, Relaxed);
    }
}

/// Memory to read into, counted until it, or the [`Bytes`] made of it, is dropped.
#[derive(Debug)]
pub struct Buffer {
    /// Always `Some` until it is dropped.
    memory: Option<Memory>,
    filled: usize,
    pooled: bool,
    hold: Hold,
}

impl Buffer {
    /// The part that is not filled yet.
    pub fn unfilled(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], |memory| &mut memory.get_mut()[self.filled..])
    }

    /// Number of filled bytes.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Marks more bytes as filled; at most all of [`Self::unfilled`].
    pub fn advance(&mut self, bytes: usize) {
        let length = self.memory.as_ref().map_or(0, |memory| memory.length);
        self.filled = (self.filled + bytes).min(length);
    }

    /// Returns the filled part. The memory returns to the budget when its last clone is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory.get()[..self.filled])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take().filter(|_| self.pooled) {
            self.hold.transfer.budget().keep(memory);
        }
    }
}
