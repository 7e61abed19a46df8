//! The SHA-256 of a body, computed while it is received: by another thread, so that hashing, receiving and
//! writing overlap.
//!
//! Chunks are shared with that thread, not copied. They wait in a queue while it hashes others, and a body
//! that outruns it waits, so an upload holds at most twice [`MAX_QUEUED_BYTES`] for its digest. Threads are
//! borrowed for as long as bytes wait: as many as there are cores, for all uploads together. What is too
//! little to be worth a change of threads, or finds none free, is hashed where it is received, and a body that
//! pauses holds nothing. An upload that ends early leaves at most a queue to hash, some milliseconds.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker, ready},
    thread::available_parallelism,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{Hasher, Sha256};
use crate::SourceError;

/// Least bytes that are worth a change of threads: a tenth of a millisecond of hashing.
const MIN_SHARED_BYTES: usize = 128 << 10;

/// Most bytes of a body that wait while a thread hashes as many others.
const MAX_QUEUED_BYTES: usize = 1 << 20;

/// Most chunks that wait: each tiny one keeps its whole network buffer alive.
const MAX_QUEUED_CHUNKS: usize = 256;

/// The threads that may hash at once, one for each core.
static THREADS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))));

/// Computes the SHA-256 of a body while it is received. Clones are of the same body.
#[derive(Clone)]
pub(crate) struct DigestRecorder(Arc<Body>);

struct Body {
    state: Mutex<State>,
    threads: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    /// `None` while a thread hashes.
    hasher: Option<Hasher>,
    queue: Vec<Bytes>,
    queued_bytes: usize,
    /// Whether a thread was asked for. It may have to wait for its turn.
    has_thread: bool,
    waiter: Option<Waker>,
}

impl fmt::Debug for DigestRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestRecorder").finish_non_exhaustive()
    }
}

impl DigestRecorder {
    pub(crate) fn new() -> Self {
        Self::with_threads(Arc::clone(&THREADS))
    }

    fn with_threads(threads: Arc<Semaphore>) -> Self {
        let state = State { hasher: Some(Hasher::default()), ..State::default() };
        Self(Arc::new(Body { state: Mutex::new(state), threads }))
    }

    /// Takes the next chunk.
    fn push(&self, chunk: Bytes) {
        let mut state = self.0.state.lock();
        state.queued_bytes += chunk.len();
        state.queue.push(chunk);
        if !state.is_worth_a_thread() || state.has_thread {
            return;
        }
        state.has_thread = self.0.start();
        if !state.has_thread {
            drop(state);
            self.0.hash_here();
        }
    }

    /// Waits until the next chunk may be taken.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        if !state.is_full() {
            return Poll::Ready(());
        }
        if state.hasher.is_none() {
            state.waiter = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // The thread has not begun: there may be none for a long time.
        drop(state);
        self.0.hash_here();
        Poll::Ready(())
    }

    /// Returns the SHA-256 of what was received; `None` if that was not `length` bytes. To be called after
    /// the last chunk was received.
    pub(crate) async fn finish(&self, length: u64) -> Option<Sha256> {
        poll_fn(|cx| {
            let mut state = self.0.state.lock();
            if state.hasher.is_some() {
                return Poll::Ready(());
            }
            state.waiter = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.0.hash_here();
        self.0.state.lock().hasher.as_ref()?.finish(length)
    }
}

impl Body {
    /// Borrows a thread; returns whether there is one.
    fn start(self: &Arc<Self>) -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        let Ok(permit) = Arc::clone(&self.threads).try_acquire_owned() else { return false };
        let body = Arc::clone(self);
        drop(runtime.spawn_blocking(move || body.hash_queue(permit)));
        true
    }

    /// Hashes what waits, until nothing does.
    fn hash_queue(&self, permit: OwnedSemaphorePermit) {
        let mut state = self.state.lock();
        // It may be that the body's own thread hashes just now.
        let Some(mut hasher) = state.hasher.take() else {
            state.has_thread = false;
            return;
        };
        drop(state);
        while let Some(chunks) = self.take_or_end(&mut hasher) {
            chunks.into_iter().for_each(|chunk| hasher.update(&chunk));
        }
        drop(permit);
    }

    /// Takes what waits; where nothing does, the hasher is given back, and the thread ends.
    fn take_or_end(&self, hasher: &mut Hasher) -> Option<Vec<Bytes>> {
        let mut state = self.state.lock();
        let (chunks, waiter) = (state.take_queue(), state.waiter.take());
        if chunks.is_empty() {
            state.hasher = Some(mem::take(hasher));
            state.has_thread = false;
        }
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        Some(chunks).filter(|chunks| !chunks.is_empty())
    }

    /// Hashes what waits on this thread, unless another one does. What that other one finds then is no work.
    fn hash_here(&self) {
        let mut state = self.state.lock();
        let Some(mut hasher) = state.hasher.take() else { return };
        let chunks = state.take_queue();
        drop(state);
        chunks.into_iter().for_each(|chunk| hasher.update(&chunk));
        self.state.lock().hasher = Some(hasher);
    }
}

impl State {
    fn is_worth_a_thread(&self) -> bool {
        self.queued_bytes >= MIN_SHARED_BYTES || self.queue.len() >= MAX_QUEUED_CHUNKS
    }

    fn is_full(&self) -> bool {
        self.queued_bytes >= MAX_QUEUED_BYTES || self.queue.len() >= MAX_QUEUED_CHUNKS
    }

    fn take_queue(&mut self) -> Vec<Bytes> {
        self.queued_bytes = 0;
        mem::take(&mut self.queue)
    }
}

/// The chunks of a body whose SHA-256 is computed.
pub(crate) struct Recording {
    pub(crate) chunks: BoxStream<'static, Result<Bytes, SourceError>>,
    pub(crate) recorder: DigestRecorder,
}

impl Stream for Recording {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.recorder.poll_room(cx));
        let next = self.chunks.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(chunk))) => self.recorder.push(chunk.clone()),
            // There is time for it, and what waits would hold memory for as long as the client pauses.
            Poll::Pending => self.recorder.0.hash_here(),
            Poll::Ready(_) => {}
        }
        next
    }
}
