//! `larder:cache/types`: the handles that a component holds while the bytes stay in the host.
#![allow(unreachable_pub, reason = "the generated bindings re-export these types")]

use std::sync::Arc;

use wasmtime::component::Resource;

use super::{bindings::larder::cache::types, state::State};
use crate::{
    message::{QuotaPermit, RequestBody, RequestContext},
    storage::Content,
};

/// A request as it arrived: all but the body, and the body until a call takes it.
pub struct Incoming {
    pub(crate) context: Arc<RequestContext>,
    pub(crate) body: Body,
}

/// The state of a request's body.
pub enum Body {
    /// Nobody took it yet.
    Unread(RequestBody),
    /// Somebody took it.
    Taken,
}

/// A stored object, or a range of it, opened for reading.
pub struct Object(pub(crate) Content);

/// The upstream's response, and the permit of its request.
pub struct UpstreamResponse {
    pub(crate) response: ::http::Response<hyper::body::Incoming>,
    pub(crate) permit: QuotaPermit,
}

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
