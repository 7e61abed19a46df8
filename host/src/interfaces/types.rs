//! `larder:cache/types`: the resources behind the component's handles. Their bytes stay in the
//! host.
#![expect(unreachable_pub, reason = "the generated bindings re-export these types")]

use std::sync::Arc;

use larder_storage::Content;
use wasmtime::component::Resource;

use super::{bindings::larder::cache::types, state::State};
use crate::message::{QuotaPermit, RequestBody, RequestContext};

/// A request as it arrived: all but its body, and its body until a call takes it.
pub struct IncomingRequest {
    pub(crate) context: Arc<RequestContext>,
    pub(crate) body: Body,
}

/// The state of a request's body.
pub enum Body {
    /// Not taken yet.
    Unread(RequestBody),
    /// Taken.
    Taken,
}

/// A stored object, or a range of it, opened for reading.
pub struct Object(pub(crate) Content);

/// A response of the upstream, and the permit of its request, which limits concurrent forwarded
/// requests.
pub struct UpstreamResponse {
    pub(crate) response: ::http::Response<hyper::body::Incoming>,
    pub(crate) permit: QuotaPermit,
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
