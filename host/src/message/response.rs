//! The response to a request.

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
use larder_common::causes::chain;
use larder_storage::Content;

use super::{Outcome, QuotaPermit, RequestRecord};

/// A response, ready to be sent.
pub(crate) type Response = http::Response<Outgoing>;

/// Makes the response to a request that the server refuses without the component: JSON in Twirp's
/// form, which every client can read, with the request id that BuildKit's client expects of a
/// response about a blob.
#[must_use]
pub(crate) fn error_response(status: StatusCode, code: &str, why: &str, request_id: &str) -> Response {
    let mut response = json_response(status, error_body(code, why), request_id);
    let kind = if status.is_server_error() { "failed" } else { "refused" };
    response.extensions_mut().insert(Outcome::of_server(kind, why));
    response
}

/// Makes the body of such a response.
#[must_use]
pub(crate) fn error_body(code: &str, why: &str) -> String {
    serde_json::json!({ "code": code, "msg": why }).to_string()
}

/// Makes a response of JSON.
#[must_use]
pub(crate) fn json_response(status: StatusCode, body: String, request_id: &str) -> Response {
    let mut response = Response::new(Outgoing::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-ms-request-id", id);
    }
    response
}

/// Makes a 503 with `Retry-After: 1`, for a failure that a retry may overcome.
#[must_use]
pub(crate) fn unavailable(why: &str, request_id: &str) -> Response {
    let mut response = error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why, request_id);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The body of a response. Counted in the request log.
pub(crate) struct Outgoing {
    inner: PayloadSource,
    record: Option<Arc<RequestRecord>>,
}

enum PayloadSource {
    Memory(Option<Bytes>),
    Stored { content: Content, left: u64 },
    Upstream { body: hyper::body::Incoming, _permit: QuotaPermit },
}

impl Outgoing {
    /// An empty body.
    #[must_use]
    pub(crate) fn empty() -> Self {
        Self::from_inner(PayloadSource::Memory(None))
    }

    /// A body in memory.
    #[must_use]
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::from_inner(PayloadSource::Memory(Some(bytes.into())))
    }

    /// A stored object. When it yields fewer bytes than announced, the connection is cut.
    #[must_use]
    pub(crate) fn stored(content: Content) -> Self {
        let left = content.length;
        Self::from_inner(PayloadSource::Stored { content, left })
    }

    /// The upstream's response, streamed. It holds the permit of its request until its end.
    #[must_use]
    pub(crate) fn upstream(body: hyper::body::Incoming, permit: QuotaPermit) -> Self {
        Self::from_inner(PayloadSource::Upstream { body, _permit: permit })
    }

    fn from_inner(inner: PayloadSource) -> Self {
        Self { inner, record: None }
    }

    /// Counts the body's bytes in the request log.
    #[must_use]
    pub(crate) fn recorded(self, record: Arc<RequestRecord>) -> Self {
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

impl PayloadSource {
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

/// Passes a chunk of a stored object on. More bytes than announced, or an early end, are an error.
fn checked(
    chunk: Option<Result<Bytes, larder_storage::StorageError>>,
    left: &mut u64,
) -> Option<io::Result<Frame<Bytes>>> {
    match chunk {
        Some(Ok(bytes)) if bytes.len() as u64 <= *left => {
            *left -= bytes.len() as u64;
            Some(Ok(Frame::data(bytes)))
        }
        Some(Ok(_)) => Some(Err(io::Error::other("the storage returned more bytes than announced"))),
        Some(Err(error)) => Some(Err(io::Error::other(error))),
        None if *left > 0 => Some(Err(io::Error::other("the storage returned fewer bytes than announced"))),
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
            PayloadSource::Memory(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            PayloadSource::Stored { left, .. } => *left == 0,
            PayloadSource::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            PayloadSource::Memory(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            PayloadSource::Stored { left, .. } => SizeHint::with_exact(*left),
            PayloadSource::Upstream { body, .. } => body.size_hint(),
        }
    }
}
