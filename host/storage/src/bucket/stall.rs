//! Uploads to a service whose bytes are still arriving from the client.
//!
//! [`UploadBody`] is the body of the request. [`StallDetector`] fails the request when the service
//! accepts no bytes, or does not respond once it has them all. A slow client does not count. Used
//! by all drivers of buckets.

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

/// The service did not respond in time.
#[derive(Debug, thiserror::Error)]
#[error("no response within {} ms", .0.as_millis())]
pub(crate) struct TimedOut(pub(crate) Duration);

/// Ends a stream with [`TimedOut`] when no item came for `limit`.
pub(crate) fn with_read_timeout<T: Send + 'static, E: Into<Box<dyn Error + Send + Sync>> + Send + 'static>(
    limit: Duration,
    items: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> impl Stream<Item = Result<T, Box<dyn Error + Send + Sync>>> + Send + 'static {
    stream::unfold(Some(items.boxed()), move |items| async move {
        let mut items = items?;
        match timeout(limit, items.next()).await {
            Ok(Some(item)) => Some((item.map_err(Into::into), Some(items))),
            Ok(None) => None,
            Err(_) => Some((Err(TimedOut(limit).into()), None)),
        }
    })
}

/// How long a service may stall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallTimeouts {
    /// Without accepting a byte.
    pub(crate) idle: Duration,
    /// From the last byte to the head of the response.
    pub(crate) response: Duration,
}

/// `response` as a multiple of `idle`. Bytes that count as sent may still be in the kernel's
/// buffers: 4 MiB by default, which is 128 KiB/s in the default 30 s.
const RESPONSE_FACTOR: u32 = 3;

impl StallTimeouts {
    /// The timeouts of a service that may accept no byte for `idle`.
    pub(crate) fn from_timeout(idle: Duration) -> Self {
        Self { idle, response: idle * RESPONSE_FACTOR }
    }
}

/// What the request is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitingFor {
    /// The source of the bytes, which has timeouts of its own.
    Source,
    /// The service, to accept bytes.
    Service,
    /// The service, to respond.
    Response,
}

#[derive(Debug)]
struct StallState {
    waiting_for: WaitingFor,
    since: Instant,
    failure: Option<StorageError>,
}

/// Fails a request that sends bytes when the service stalls.
#[derive(Debug)]
pub(crate) struct StallDetector {
    timeouts: StallTimeouts,
    state: Mutex<StallState>,
}

impl StallDetector {
    pub(crate) fn new(timeouts: StallTimeouts) -> Arc<Self> {
        let state = StallState { waiting_for: WaitingFor::Service, since: Instant::now(), failure: None };
        Arc::new(Self { timeouts, state: Mutex::new(state) })
    }

    fn wait_for(&self, waiting_for: WaitingFor) {
        let mut state = self.state.lock();
        state.waiting_for = waiting_for;
        state.since = Instant::now();
    }

    fn fail(&self, error: StorageError) {
        self.state.lock().failure = Some(error);
    }

    /// Runs a request whose body is an [`UploadBody`] of this detector. A failure of the source
    /// takes precedence over the service's response.
    ///
    /// # Errors
    /// When the service stalls, or the source fails.
    pub(crate) async fn run<T>(
        &self,
        context: &'static str,
        request: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        let outcome = select! {
            outcome = request => Ok(outcome),
            limit = self.stalled() => Err(StorageError::unavailable(context, TimedOut(limit))),
        };
        match self.state.lock().failure.take() {
            Some(failure) => Err(failure),
            None => outcome,
        }
    }

    /// Returns once the service has stalled: the timeout that it exceeded.
    async fn stalled(&self) -> Duration {
        loop {
            let (waiting_for, since) = {
                let state = self.state.lock();
                (state.waiting_for, state.since)
            };
            let limit = match waiting_for {
                WaitingFor::Response => self.timeouts.response,
                WaitingFor::Source | WaitingFor::Service => self.timeouts.idle,
            };
            // After a slow source the next wait may be for the service: check again.
            let from = if waiting_for == WaitingFor::Source { Instant::now() } else { since };
            if from.elapsed() >= limit {
                return limit;
            }
            sleep_until(from + limit).await;
        }
    }
}

/// The body of a request: exactly the announced bytes, or an error.
pub(crate) struct UploadBody {
    /// Behind a lock only because a body has to be `Sync`.
    chunks: Mutex<BoxStream<'static, Result<Bytes, StorageError>>>,
    check: LengthCheck,
    left: u64,
    /// The last chunk, held back until the source has ended.
    last: Option<Bytes>,
    stall: Arc<StallDetector>,
}

/// The source failed; the [`StallDetector`] has the error.
#[derive(Debug, thiserror::Error)]
#[error("the source of the request body failed")]
pub(crate) struct SourceFailed;

impl UploadBody {
    pub(crate) fn new(content: Content, stall: &Arc<StallDetector>) -> Self {
        stall.wait_for(WaitingFor::Service);
        let stall = Arc::clone(stall);
        let (chunks, left) = (Mutex::new(content.chunks), content.length);
        Self { chunks, check: LengthCheck::new(Some(left)), left, last: None, stall }
    }

    /// A body of bytes that are in memory.
    pub(crate) fn pieces(pieces: Pieces, stall: &Arc<StallDetector>) -> Self {
        Self::new(in_memory(pieces), stall)
    }

    /// Returns the next chunk. The last one is held back until the source has ended: a service that
    /// has all bytes stores them.
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

impl Body for UploadBody {
    type Data = Bytes;
    type Error = SourceFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SourceFailed>>> {
        let Poll::Ready(chunk) = self.poll_chunk(cx) else {
            self.stall.wait_for(WaitingFor::Source);
            return Poll::Pending;
        };
        match chunk {
            Ok(chunk) => {
                self.left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                self.stall.wait_for(if self.left == 0 { WaitingFor::Response } else { WaitingFor::Service });
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
            Err(error) => {
                self.stall.fail(error);
                Poll::Ready(Some(Err(SourceFailed)))
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
