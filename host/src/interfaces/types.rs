//! `larder:cache/types`: the handles that a component holds while the bytes stay in the host.
#![allow(unreachable_pub, reason = "the generated bindings re-export these types")]

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

/// A request as it arrived: its head, and its body until somebody takes it.
pub struct IncomingRequest {
    /// Method, target and all header fields, `authorization` too.
    pub(crate) head: Arc<Parts>,
    /// The body.
    pub(crate) body: Body,
    /// Whether the client still waits.
    pub(crate) client: ClientGone,
    /// What the host keeps of the request until it is answered.
    pub(crate) kept: Arc<ReplayBody>,
    /// What the log will say of it.
    pub(crate) record: Arc<RequestRecord>,
}

/// The state of a request's body.
pub enum Body {
    /// Nobody took it yet.
    Unread(RequestBody),
    /// Somebody took it.
    Taken,
}

/// What the host keeps of a request for as long as a component may have a part of it, through both attempts at it.
pub(crate) struct ReplayBody {
    /// Its room.
    pub(crate) ticket: Ticket,
    /// Its body, if that was read into memory and is short: for a second attempt after a fault of the component.
    pub(crate) body: Mutex<Option<Bytes>>,
}

/// A stored object, or a range of it, opened for reading.
pub struct Object(pub(crate) Content);

/// The upstream's answer, and the place of its request among those that are with the upstream.
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
    /// Takes the body, if nobody did.
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
