//! One chunk of a response at a time is with its connection.
//!
//! hyper takes more of a body for as long as its buffer has room, whenever a connection wakes up, and
//! not only when it has sent something: up to 48 KiB and a chunk. So clients that read nothing held
//! four chunks in place of the one that the budget of transfers provides for.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

/// Whether a chunk of a body is with its connection.
#[derive(Default)]
pub(super) struct OneChunk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_out: AtomicBool,
    waiting: AtomicWaker,
}

impl OneChunk {
    /// Waits until the last chunk was sent, or dropped.
    pub(super) fn poll_sent(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.0.is_out.load(SeqCst) {
            return Poll::Ready(());
        }
        self.0.waiting.register(cx.waker());
        // It may have been dropped before the waker was there.
        if self.0.is_out.load(SeqCst) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Returns the chunk that is sent now.
    pub(super) fn send(&self, bytes: Bytes) -> Bytes {
        self.0.is_out.store(true, SeqCst);
        Bytes::from_owner(Sent { bytes, shared: Arc::clone(&self.0) })
    }
}

/// A chunk, until its last slice is dropped.
struct Sent {
    bytes: Bytes,
    shared: Arc<Shared>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        // Its memory is free before the next chunk is read.
        self.bytes = Bytes::new();
        self.shared.is_out.store(false, SeqCst);
        self.shared.waiting.wake();
    }
}
