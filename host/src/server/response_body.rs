//! A response's body on its way to the client. Its request is in flight until the last byte is
//! handed to the connection; over HTTP/2 it is reset when the client stops reading.
//!
//! Over HTTP/1 the kernel ends a connection whose client stops reading (`TCP_USER_TIMEOUT`). Over
//! HTTP/2 the client may keep one stream's window shut while it responds to pings, which only the
//! server can see. The next chunk is read when the last one was sent ([`OneChunk`]).

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    select,
    time::{Instant, sleep},
};

use super::{connections::ActiveRequest, one_chunk::OneChunk};
use crate::message::Outgoing;

tokio::task_local! {
    /// The HTTP/2 stream that the running task serves.
    static STREAM: Rc<Stream>;
}

/// Since when a stream waits for its client.
#[derive(Default)]
struct Stream {
    blocked_since: Cell<Option<Instant>>,
}

impl Stream {
    /// Returns how much longer the stream may be blocked: zero when it has been for `limit`.
    fn time_left(&self, limit: Duration) -> Duration {
        self.blocked_since.get().map_or(limit, |since| limit.saturating_sub(since.elapsed()))
    }
}

/// Serves one HTTP/2 stream, and resets it once its client has read nothing of a response for
/// `limit`.
pub(super) async fn end_if_stalled(stream: impl Future, limit: Duration) {
    let state = Rc::new(Stream::default());
    let mut stream = pin!(STREAM.scope(state.clone(), stream));
    let mut check = pin!(sleep(limit));
    loop {
        select! {
            biased;
            _ = stream.as_mut() => return,
            () = check.as_mut() => match state.time_left(limit) {
                Duration::ZERO => {
                    tracing::debug!("stream reset: its client reads nothing");
                    return;
                }
                left => check.as_mut().reset(Instant::now() + left),
            }
        }
    }
}

/// The body of a response.
pub(super) struct Watched {
    body: Outgoing,
    active: Option<ActiveRequest>,
    stream: Option<Rc<Stream>>,
    /// Of a response of more than one.
    chunk: Option<OneChunk>,
}

impl Watched {
    /// The body of the response to a counted request.
    pub(super) fn new(body: Outgoing, active: ActiveRequest) -> Self {
        Self { body, active: Some(active), stream: STREAM.try_with(Rc::clone).ok(), chunk: None }
    }

    /// The body of a response to a request that was not counted.
    pub(super) fn uncounted(body: Outgoing) -> Self {
        Self { body, active: None, stream: None, chunk: None }
    }

    fn waits_for_client(&mut self, waits: bool) {
        if let Some(active) = &mut self.active {
            if waits { active.block() } else { active.unblock() }
        }
        if let Some(stream) = &self.stream {
            stream.blocked_since.set(waits.then(Instant::now));
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(chunk) = &self.chunk {
            ready!(chunk.poll_sent(cx));
        }
        self.waits_for_client(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // Over HTTP/1 hyper drops the body with its last frame; over HTTP/2 only when the client
        // has room for it.
        let is_waiting = matches!(frame, Some(Ok(_))) && (self.stream.is_some() || !self.is_end_stream());
        if is_waiting {
            self.waits_for_client(true);
        }
        if self.is_end_stream() {
            return Poll::Ready(frame);
        }
        let chunk = self.chunk.get_or_insert_default();
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| chunk.send(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
