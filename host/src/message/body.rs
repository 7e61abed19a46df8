//! The body of a request.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use http::{header::EXPECT, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use larder_storage::{Source, SourceError};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{
    ReadError, RequestRecord,
    drain::DRAINS,
    request_quota::{Growing, PRESSED_PAUSE},
};

/// The first permit of a body without a length, in bytes.
const FIRST_STEP_BYTES: u64 = 8 * 1024;

/// The body of a request. Counted in the request log; ends with an error when the client stops
/// sending for too long.
///
/// The rest of a dropped body is read and discarded ([`DRAINS`]).
pub(crate) struct RequestBody {
    inner: BodySource,
    record: Option<Arc<RequestRecord>>,
    idle: IdleTimer,
    /// Whether the client is sending. A client that waits for `100 Continue` is not, until it gets
    /// that.
    sending: bool,
}

enum BodySource {
    Wire(WireBody),
    Memory(Option<Bytes>),
}

/// A body as it comes in: over a connection of this server, or from a program that embeds it.
pub(crate) enum WireBody {
    Own(hyper::body::Incoming),
    Callers(UnsyncBoxBody<Bytes, BoxError>),
}

/// The error of a caller's body. All that matters of it is that the body broke off.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Body for WireBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Callers(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Callers(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Callers(body) => body.size_hint(),
        }
    }
}

/// Bounds a wait for bytes. Armed only while there is one.
struct IdleTimer {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl IdleTimer {
    fn progress(&mut self) {
        self.waiting = false;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + self.limit);
        }
        timer.as_mut().poll(cx)
    }
}

impl RequestBody {
    /// A body that arrives over a connection, of a request with this head. A pause of `idle_limit`
    /// between bytes ends it as cut short.
    #[must_use]
    pub(crate) fn from_wire(
        body: WireBody,
        head: &Parts,
        record: Arc<RequestRecord>,
        idle_limit: Duration,
    ) -> Self {
        let idle = IdleTimer { limit: idle_limit, timer: None, waiting: false };
        let sending = !head.headers.contains_key(EXPECT);
        Self { inner: BodySource::Wire(body), record: Some(record), idle, sending }
    }

    /// A body in memory.
    #[must_use]
    pub(crate) fn full(bytes: Bytes) -> Self {
        let idle = IdleTimer { limit: Duration::MAX, timer: None, waiting: false };
        Self { inner: BodySource::Memory(Some(bytes)), record: None, idle, sending: false }
    }

    /// The body as something to store.
    #[must_use]
    pub(crate) fn into_source(self) -> Source {
        Source::new(self.size_hint().exact(), BodyChunks(self).boxed())
    }

    /// Stops reading: nothing more is expected of the client.
    fn cut_short(&mut self) -> SourceError {
        self.sending = false;
        self.inner = BodySource::Memory(None);
        SourceError::CutShort
    }

    /// Returns whether it is in memory, and does not arrive over a connection.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.inner, BodySource::Memory(_))
    }

    /// Reads the body into memory as far as `quota` grows: to the announced length before the first
    /// byte, else in steps.
    ///
    /// # Errors
    /// `TooLarge` over `limit` bytes, `CutShort` when it ends early, `QuotaExceeded` when there is
    /// no memory, or when the body pauses while another one waits for memory.
    pub(super) async fn read_to_end(self, limit: u64, quota: &mut Growing<'_>) -> Result<Bytes, ReadError> {
        let announced = self.size_hint();
        if announced.lower() > limit {
            return Err(SourceError::TooLarge.into());
        }
        quota.reach(announced.exact().unwrap_or(FIRST_STEP_BYTES.min(limit))).await?;
        let mut chunks = BodyChunks(self);
        let Some(first) = next(&mut chunks, quota).await? else { return Ok(Bytes::new()) };
        let first = within(first, limit)?;
        quota.grow(first.len() as u64, limit).await?;
        let Some(second) = next(&mut chunks, quota).await? else { return Ok(first) };
        let known = announced.exact().and_then(|length| usize::try_from(length).ok());
        let capacity = known.unwrap_or(first.len() + second.len());
        let mut whole = Vec::with_capacity(capacity);
        whole.extend_from_slice(&first);
        drop(first);
        let mut chunk = second;
        loop {
            let length = (whole.len() + chunk.len()) as u64;
            if length > limit {
                return Err(SourceError::TooLarge.into());
            }
            quota.grow(length, limit).await?;
            whole.extend_from_slice(&chunk);
            match next(&mut chunks, quota).await? {
                Some(more) => chunk = more,
                None => return Ok(whole.into()),
            }
        }
    }
}

/// Returns the next chunk of a body with this permit; `None` at its end.
async fn next(chunks: &mut BodyChunks, quota: &Growing<'_>) -> Result<Option<Bytes>, ReadError> {
    // What is there already needs no timer.
    if let Some(chunk) = chunks.next().now_or_never() {
        return Ok(chunk.transpose()?);
    }
    loop {
        match timeout(PRESSED_PAUSE, chunks.next()).await {
            Ok(chunk) => return Ok(chunk.transpose()?),
            Err(_) => quota.paused()?,
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let BodySource::Wire(body) = std::mem::replace(&mut self.inner, BodySource::Memory(None)) else {
            return;
        };
        if self.sending && !body.is_end_stream() && tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(DRAINS.drain(body));
        }
    }
}

fn within(bytes: Bytes, limit: u64) -> Result<Bytes, ReadError> {
    if bytes.len() as u64 <= limit { Ok(bytes) } else { Err(SourceError::TooLarge.into()) }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = SourceError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SourceError>>> {
        let this = &mut *self;
        let polled = match &mut this.inner {
            BodySource::Wire(body) => {
                this.sending = true;
                Pin::new(body).poll_frame(cx)
            }
            BodySource::Memory(bytes) => {
                return Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))));
            }
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.progress();
                if let (Some(record), Some(data)) = (&this.record, frame.data_ref()) {
                    record.received(data.len());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                if let Some(record) = &this.record {
                    record.set_broken();
                }
                Poll::Ready(Some(Err(this.cut_short())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(this.idle.poll_expired(cx));
                Poll::Ready(Some(Err(this.cut_short())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            BodySource::Wire(body) => body.is_end_stream(),
            BodySource::Memory(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            BodySource::Wire(body) => body.size_hint(),
            BodySource::Memory(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
        }
    }
}

/// A body's data, without its trailers.
struct BodyChunks(RequestBody);

impl Stream for BodyChunks {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
