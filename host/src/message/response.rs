//! The answer to a request.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body::{Body, Frame, SizeHint};

use super::{Held, Outcome, RequestRecord};
use crate::{causes::chain, storage::Content};

/// A response, ready to be sent.
pub type Response = http::Response<Outgoing>;

/// The answer that the server gives by itself, without the component: JSON of Twirp's form, which every client can read,
/// with the id that BuildKit's client needs on whatever it takes for an answer about a blob.
#[must_use]
pub fn error_response(status: StatusCode, code: &str, why: &str, request_id: &str) -> Response {
    let body = serde_json::json!({ "code": code, "msg": why }).to_string();
    let mut response = Response::new(Outgoing::full(body));
    *response.status_mut() = status;
    let kind = if status.is_server_error() { "failed" } else { "refused" };
    response.extensions_mut().insert(Outcome::of_server(kind, why));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-ms-request-id", id);
    }
    response
}

/// The answer where the server cannot answer just now, and trying again in a second helps.
#[must_use]
pub fn unavailable(why: &str, request_id: &str) -> Response {
    let mut response = error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why, request_id);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The body of a response. Counted in the request log.
pub struct Outgoing {
    inner: Inner,
    record: Option<Arc<RequestRecord>>,
}

enum Inner {
    Memory(Option<Bytes>),
    Stored { content: Content, left: u64 },
    Upstream { body: hyper::body::Incoming, _place: Held },
}

impl Outgoing {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_inner(Inner::Memory(None))
    }

    /// Bytes in memory.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::from_inner(Inner::Memory(Some(bytes.into())))
    }

    /// A stored object. Where it yields fewer bytes than announced, the connection is cut.
    #[must_use]
    pub fn stored(content: Content) -> Self {
        let left = content.length;
        Self::from_inner(Inner::Stored { content, left })
    }

    /// The upstream's answer, streamed. Until its end it holds the place of its request.
    #[must_use]
    pub fn upstream(body: hyper::body::Incoming, place: Held) -> Self {
        Self::from_inner(Inner::Upstream { body, _place: place })
    }

    fn from_inner(inner: Inner) -> Self {
        Self { inner, record: None }
    }

    /// Has the body's bytes counted in the request log.
    #[must_use]
    pub fn recorded(self, record: Arc<RequestRecord>) -> Self {
        if self.is_end_stream() {
            record.set_complete();
        }
        Self { record: Some(record), ..self }
    }

    fn note(&self, frame: &Frame<Bytes>) {
        if let (Some(record), Some(data)) = (&self.record, frame.data_ref()) {
            record.sent(data.len());
        }
        if self.is_end_stream() {
            self.note_end();
        }
    }

    fn note_failure(&self, error: &io::Error) {
        let _in_request = self.record.as_ref().map(|record| record.scope.enter());
        tracing::warn!(error = %chain(error), "a download was cut short");
    }

    fn note_end(&self) {
        if let Some(record) = &self.record {
            record.set_complete();
        }
    }
}

impl Inner {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self {
            Self::Memory(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream { body, .. } => Pin::new(body).poll_frame(cx).map_err(io::Error::other),
            Self::Stored { content, left } => {
                let chunk = ready!(Pin::new(&mut content.chunks).poll_next(cx));
                Poll::Ready(checked(chunk, left))
            }
        }
    }
}

/// Lets a chunk of a stored object pass if it keeps to the announced length; an end that comes too early is an error.
fn checked(
    chunk: Option<Result<Bytes, crate::storage::StorageError>>,
    left: &mut u64,
) -> Option<io::Result<Frame<Bytes>>> {
    match chunk {
        Some(Ok(bytes)) if bytes.len() as u64 <= *left => {
            *left -= bytes.len() as u64;
            Some(Ok(Frame::data(bytes)))
        }
        Some(Ok(_)) => Some(Err(io::Error::other("the storage gave more bytes than announced"))),
        Some(Err(error)) => Some(Err(io::Error::other(error))),
        None if *left > 0 => Some(Err(io::Error::other("the storage gave fewer bytes than announced"))),
        None => None,
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = ready!(self.inner.poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => self.note(frame),
            Some(Err(error)) => self.note_failure(error),
            None => self.note_end(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Memory(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Stored { left, .. } => *left == 0,
            Inner::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Memory(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Inner::Stored { left, .. } => SizeHint::with_exact(*left),
            Inner::Upstream { body, .. } => body.size_hint(),
        }
    }
}
