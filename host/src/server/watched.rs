//! An answer's body on its way to the client: counts as a request in the works until its last byte is handed over, and on
//! HTTP/2 is ended where the client takes nothing of it.
//!
//! On HTTP/1 the kernel ends a connection whose client takes nothing (`TCP_USER_TIMEOUT`). On HTTP/2 the client may keep one
//! stream's window shut while it answers pings, and only the server can tell.

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

use super::connections::Active;
use crate::message::Outgoing;

tokio::task_local! {
    /// The stream of HTTP/2 that the running task serves.
    static STREAM: Rc<Stream>;
}

/// Since when a stream waits for its client.
#[derive(Default)]
struct Stream {
    blocked_since: Cell<Option<Instant>>,
}

impl Stream {
    /// Returns how much longer the stream may stand still: nothing when it has stood still for `limit`.
    fn patience(&self, limit: Duration) -> Duration {
        self.blocked_since.get().map_or(limit, |since| limit.saturating_sub(since.elapsed()))
    }
}

/// Serves one stream of HTTP/2, and resets it once its client has taken nothing of an answer for `limit`.
pub(super) async fn end_if_stalled(stream: impl Future, limit: Duration) {
    let state = Rc::new(Stream::default());
    let mut stream = pin!(STREAM.scope(state.clone(), stream));
    let mut check = pin!(sleep(limit));
    loop {
        select! {
            biased;
            _ = stream.as_mut() => return,
            () = check.as_mut() => match state.patience(limit) {
                Duration::ZERO => {
                    tracing::debug!("stream reset: its client reads nothing");
                    return;
                }
                left => check.as_mut().reset(Instant::now() + left),
            }
        }
    }
}

/// The body of an answer.
pub(super) struct Watched {
    body: Outgoing,
    active: Option<Active>,
    stream: Option<Rc<Stream>>,
}

impl Watched {
    /// Watches the body of an answer to a request that was counted in.
    pub(super) fn new(body: Outgoing, active: Active) -> Self {
        Self { body, active: Some(active), stream: STREAM.try_with(Rc::clone).ok() }
    }

    /// An answer to a request that was not.
    pub(super) fn uncounted(body: Outgoing) -> Self {
        Self { body, active: None, stream: None }
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
        // hyper asks for more only where there is room for it.
        self.waits_for_client(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // Of HTTP/1 the last frame is let go at once; of HTTP/2 only when there is room for it.
        let is_waiting = matches!(frame, Some(Ok(_))) && (self.stream.is_some() || !self.is_end_stream());
        if is_waiting {
            self.waits_for_client(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
