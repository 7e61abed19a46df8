//! Bytes on their way to a service while they still come in.
//!
//! [`Sending`] is the body of a request, [`Watch`] sees how it gets on: a service that takes no bytes, or does not answer when it
//! has them all, is given up; a client that is slow is not the service's fault. Used by the drivers of clouds.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
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
    time::{Instant, sleep_until, timeout},
};

use super::Pieces;
use crate::{Content, StorageError, source::LengthCheck};

/// The service did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub(crate) struct TimedOut(pub(crate) Duration);

/// Ends a stream with [`TimedOut`] once nothing came for `silence`.
pub(crate) fn within<T: Send + 'static, E: Into<Box<dyn Error + Send + Sync>> + Send + 'static>(
    silence: Duration,
    items: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> impl Stream<Item = Result<T, Box<dyn Error + Send + Sync>>> + Send + 'static {
    stream::unfold(Some(items.boxed()), move |items| async move {
        let mut items = items?;
        match timeout(silence, items.next()).await {
            Ok(Some(item)) => Some((item.map_err(Into::into), Some(items))),
            Ok(None) => None,
            Err(_) => Some((Err(TimedOut(silence).into()), None)),
        }
    })
}

/// How long a service may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Without taking a byte.
    pub(crate) silence: Duration,
    /// To the head of its answer, when it has all bytes.
    pub(crate) answer: Duration,
}

/// How much longer than without taking a byte: to store what it has, of which some may still be in the kernel's buffers (4 MiB
/// by default; 128 KiB/s in the default 30 s).
const ANSWER_FACTOR: u32 = 3;

impl Bounds {
    /// The bounds for a service that may be silent for so long.
    pub(crate) fn of_silence(silence: Duration) -> Self {
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
pub(crate) struct Watch {
    bounds: Bounds,
    state: Mutex<State>,
}

impl Watch {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
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
    pub(crate) async fn over<T>(
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
pub(crate) struct Sending {
    /// Behind a lock only because a body has to be `Sync`.
    chunks: Mutex<BoxStream<'static, Result<Bytes, StorageError>>>,
    check: LengthCheck,
    left: u64,
    /// The end, kept back until nothing follows.
    last: Option<Bytes>,
    watch: Arc<Watch>,
}

/// The bytes did not come; the watch knows why.
#[derive(Debug, thiserror::Error)]
#[error("the bytes to be sent did not come")]
pub(crate) struct Broken;

impl Sending {
    pub(crate) fn new(content: Content, watch: &Arc<Watch>) -> Self {
        watch.now(Waiting::Service);
        let watch = Arc::clone(watch);
        let (chunks, left) = (Mutex::new(content.chunks), content.length);
        Self { chunks, check: LengthCheck::new(Some(left)), left, last: None, watch }
    }

    /// Bytes that are in memory.
    pub(crate) fn pieces(pieces: Pieces, watch: &Arc<Watch>) -> Self {
        Self::new(in_memory(pieces), watch)
    }

    /// Returns the next chunk. The last one comes when it is certain that nothing follows: a service that has all bytes stores them.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StorageError>> {
        loop {
            let Some(chunk) = ready!(Pin::new(self.chunks.get_mut()).poll_next(cx)).transpose()? else {
                self.check.finish()?;
                return Poll::Ready(Ok(self.last.take()));
            };
            self.check.add(&chunk)?;
            if chunk.is_empty() {
                continue;
            }
            if !self.check.is_complete() {
                return Poll::Ready(Ok(Some(chunk)));
            }
            self.last = Some(chunk);
        }
    }
}

/// Makes a content of bytes that are in memory.
pub(crate) fn in_memory(pieces: Pieces) -> Content {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    Content { length, chunks: stream::iter(pieces.into_iter().map(Ok)).boxed() }
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
