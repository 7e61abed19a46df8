//! Bytes on their way to a service while they still come in.
//!
//! [`Sending`] is the body of a request, [`Watch`] sees how it gets on: a service that takes no bytes, or does not answer when it
//! has them all, is given up; a client that is slow is not the service's fault. Used by the drivers of clouds.

#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{Content, StorageError, bucket::Pieces};

/// The service did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub(super) struct TimedOut(pub(super) Duration);

/// How long a service may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Without taking a byte.
    pub(super) silence: Duration,
    /// To the head of its answer, when it has all bytes.
    pub(super) answer: Duration,
}

/// How much longer than without taking a byte: to store what it has, of which some may still be in the kernel's buffers (4 MiB
/// by default; 128 KiB/s in the default 30 s).
const ANSWER_FACTOR: u32 = 3;

impl Bounds {
    /// The bounds for a service that may be silent for so long.
    pub(super) fn of_silence(silence: Duration) -> Self {
        Self { silence, answer: silence * ANSWER_FACTOR }
    }
}

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Whoever the bytes come from; he has bounds of his own.
    Source,
    /// The service, to take bytes.
    Service,
    /// The service, to answer.
    Answer,
}

#[derive(Debug)]
struct State {
    waiting: Waiting,
    since: Instant,
    failure: Option<StorageError>,
}

/// Sees how a request gets on that sends bytes.
#[derive(Debug)]
pub(super) struct Watch {
    bounds: Bounds,
    state: Mutex<State>,
}

impl Watch {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        let state = State { waiting: Waiting::Service, since: Instant::now(), failure: None };
        Arc::new(Self { bounds, state: Mutex::new(state) })
    }

    fn now(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        state.waiting = waiting;
        state.since = Instant::now();
    }

    fn fail(&self, error: StorageError) {
        self.state.lock().failure = Some(error);
    }

    /// Runs a request whose body is a [`Sending`] of this watch. What went wrong with the bytes goes before what the service
    /// says of it.
    ///
    /// # Errors
    /// When the service is silent for too long, or the bytes did not come.
    pub(super) async fn over<T>(
        &self,
        context: &'static str,
        request: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        let outcome = select! {
            outcome = request => Ok(outcome),
            silence = self.silent() => Err(StorageError::unavailable(context, TimedOut(silence))),
        };
        match self.state.lock().failure.take() {
            Some(failure) => Err(failure),
            None => outcome,
        }
    }

    /// Returns when the service was silent for too long: for how long.
    async fn silent(&self) -> Duration {
        loop {
            let (waiting, since) = {
                let state = self.state.lock();
                (state.waiting, state.since)
            };
            let limit = match waiting {
                Waiting::Answer => self.bounds.answer,
                Waiting::Source | Waiting::Service => self.bounds.silence,
            };
            // A source that is slow is looked at again: the next to be waited for may be the service.
            let from = if waiting == Waiting::Source { Instant::now() } else { since };
            if from.elapsed() >= limit {
                return limit;
            }
            sleep_until(from + limit).await;
        }
    }
}

/// The body of a request: exactly so many bytes, or an error.
pub(super) struct Sending {
    /// Behind a lock only because a body has to be `Sync`.
    chunks: Mutex<BoxStream<'static, Result<Bytes, StorageError>>>,
    left: u64,
    /// The end, kept back until nothing follows.
    last: Option<Bytes>,
    watch: Arc<Watch>,
}

/// The bytes did not come; the watch knows why.
#[derive(Debug, thiserror::Error)]
#[error("the bytes to be sent did not come")]
pub(super) struct Broken;

impl Sending {
    pub(super) fn new(content: Content, watch: &Arc<Watch>) -> Self {
        watch.now(Waiting::Service);
        let watch = Arc::clone(watch);
        Self { chunks: Mutex::new(content.chunks), left: content.length, last: None, watch }
    }

    /// Bytes that are in memory.
    pub(super) fn pieces(pieces: Pieces, watch: &Arc<Watch>) -> Self {
        Self::new(in_memory(pieces), watch)
    }

    /// Returns the next chunk. The last one comes when it is certain that nothing follows: a service that has all bytes stores them.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StorageError>> {
        loop {
            let left = self.left - self.last.as_ref().map_or(0, |last| last.len() as u64);
            match ready!(Pin::new(self.chunks.get_mut()).poll_next(cx)).transpose()? {
                Some(chunk) if chunk.len() as u64 > left => {
                    return Poll::Ready(Err(invalid("the body is longer than announced")));
                }
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) if chunk.len() as u64 == left => self.last = Some(chunk),
                Some(chunk) => return Poll::Ready(Ok(Some(chunk))),
                None if left > 0 => return Poll::Ready(Err(invalid("the body ended early"))),
                None => return Poll::Ready(Ok(self.last.take())),
            }
        }
    }
}

/// Makes a content of bytes that are in memory.
pub(super) fn in_memory(pieces: Pieces) -> Content {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    Content { length, chunks: stream::iter(pieces.into_iter().map(Ok)).boxed() }
}

fn invalid(why: &str) -> StorageError {
    StorageError::Invalid(why.to_owned())
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Poll::Ready(chunk) = self.poll_chunk(cx) else {
            self.watch.now(Waiting::Source);
            return Poll::Pending;
        };
        match chunk {
            Ok(chunk) => {
                self.left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                self.watch.now(if self.left == 0 { Waiting::Answer } else { Waiting::Service });
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
            Err(error) => {
                self.watch.fail(error);
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
