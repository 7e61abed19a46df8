//! `larder:cache/types`: the resources behind the component's handles. Their bytes stay in the host.
#![expect(unreachable_pub, reason = "the generated bindings re-export these types")]

use std::sync::Arc;

use ::http::request::Parts;
use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::component::Resource;

use super::{bindings::larder::cache::types, state::State};
use crate::{
    message::{ClientGone, Held, RequestBody, RequestRecord, Ticket},
    storage::Content,
};

/// A request as it arrived: its head, and its body until it is taken.
pub struct IncomingRequest {
    /// Method, target and all header fields, `authorization` too.
    pub(crate) head: Arc<Parts>,
    /// The body.
    pub(crate) body: Body,
    /// Whether the client still waits.
    pub(crate) client: ClientGone,
    /// What both attempts at the request share.
    pub(crate) kept: Arc<ReplayBody>,
    /// Its log record.
    pub(crate) record: Arc<RequestRecord>,
}

/// The state of a request's body.
pub enum Body {
    /// Not taken yet.
    Unread(RequestBody),
    /// Taken.
    Taken,
}

/// What both attempts at a request share. Kept as long as a component may hold a part of the request.
pub(crate) struct ReplayBody {
    /// Its admission.
    pub(crate) ticket: Ticket,
    /// Its body, if it was read into memory and is at most 256 KiB, for a second attempt.
    pub(crate) body: Mutex<Option<Bytes>>,
}

/// A stored object, or a range of it, opened for reading.
pub struct Object(pub(crate) Content);

/// A response of the upstream, and the permit of its request, which limits concurrent forwarded requests.
pub struct UpstreamResponse {
    pub(crate) response: ::http::Response<hyper::body::Incoming>,
    pub(crate) place: Held,
}

impl ReplayBody {
    pub(crate) fn new(ticket: Ticket) -> Arc<Self> {
        Arc::new(Self { ticket, body: Mutex::new(None) })
    }
}

impl IncomingRequest {
    /// Takes the body.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Taken)
    }
}

impl types::Host for State {}

impl types::HostIncomingRequest for State {
    fn drop(&mut self, handle: Resource<IncomingRequest>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl types::HostObject for State {
    fn drop(&mut self, handle: Resource<Object>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl types::HostUpstreamResponse for State {
    fn drop(&mut self, handle: Resource<UpstreamResponse>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}
