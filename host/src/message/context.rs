//! A request, and what both attempts to handle it share.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use parking_lot::Mutex;

use super::{ClientGone, RequestBody, RequestQuota, RequestRecord};

/// One attempt to handle a request.
pub(crate) struct Request {
    /// All but the body.
    pub context: Arc<RequestContext>,
    /// The body, on its way from the client or from memory.
    pub body: RequestBody,
}

/// A request without its body. Lives as long as the component may hold a part of the request.
pub(crate) struct RequestContext {
    /// Scheme and authority at which clients reach this server.
    pub origin: String,
    /// When the head arrived, in milliseconds since 1970.
    pub received_ms: u64,
    /// Method, target and all header fields, `authorization` too.
    pub head: Box<Parts>,
    /// The record for the request log; has the request's id.
    pub record: Arc<RequestRecord>,
    /// Completes when the client no longer waits for the response.
    pub client: ClientGone,
    /// Its permits: for its head, its body, and the guest's memory for them.
    pub quota: RequestQuota,
    /// Its body, once that was read, for a second attempt.
    pub replay_body: ReplayBody,
}

/// A short body in memory, for a second attempt after a fault of the component.
#[derive(Debug, Default)]
pub(crate) struct ReplayBody(Mutex<Option<Bytes>>);

impl ReplayBody {
    /// Keeps a body, in place of an earlier one; `None` keeps none.
    pub(crate) fn set(&self, bytes: Option<Bytes>) {
        *self.0.lock() = bytes;
    }

    /// Takes the body out.
    #[must_use]
    pub(crate) fn take(&self) -> Option<Bytes> {
        self.0.lock().take()
    }
}
