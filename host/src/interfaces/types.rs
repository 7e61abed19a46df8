//! `larder:cache/types`: the handles that a component holds while the bytes stay in the host.
#![allow(unreachable_pub, reason = "the generated bindings re-export these types")]

use std::sync::Arc;

use ::http::request::Parts;
use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::component::Resource;

use crate::{
    engine::{State, bindings::larder::cache::types},
    message::{Presence, RequestBody},
    storage::Content,
};

/// A request as it arrived: its head, and its body until somebody takes it.
pub struct Incoming {
    /// Method, target and all header fields, `authorization` too.
    pub(crate) head: Arc<Parts>,
    /// The body.
    pub(crate) body: Body,
    /// Whether the client still waits.
    pub(crate) client: Presence,
    /// What was read into memory of the body, for a second attempt after a fault of the component.
    pub(crate) kept: Kept,
}

/// The state of a request's body.
pub enum Body {
    /// Nobody took it yet.
    Unread(RequestBody),
    /// Somebody took it.
    Taken,
}

/// A body that was read into memory, shared with the caller that may repeat the request.
pub type Kept = Arc<Mutex<Option<Bytes>>>;

/// A stored object, or a range of it, opened for reading.
pub struct Object(pub(crate) Content);

/// The upstream's answer.
pub struct UpstreamResponse(pub(crate) ::http::Response<hyper::body::Incoming>);

impl Incoming {
    /// Takes the body, if nobody did.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Taken)
    }
}

impl types::Host for State {}

impl types::HostIncoming for State {
    fn drop(&mut self, handle: Resource<Incoming>) -> wasmtime::Result<()> {
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
