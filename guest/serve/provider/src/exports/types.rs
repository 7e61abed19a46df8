//! `larder:cache/types`: the resources.

use std::cell::RefCell;

use super::Provider;
use crate::{
    bindings::{
        exports::larder::cache::types::{Guest, GuestIncomingRequest, GuestObject, GuestUpstreamResponse},
        wasi::http::types::{Request, Response},
        wit_future,
    },
    storage::{body::Body, read::Opened},
};

/// A request: its credential, and its body until somebody takes it.
pub(crate) struct IncomingRequest {
    pub(crate) authorization: Option<Vec<u8>>,
    pub(crate) content_length: Option<u64>,
    pub(crate) request: RefCell<Option<Request>>,
}

/// A response of the upstream.
pub(crate) struct UpstreamResponse(pub(crate) Response);

impl Guest for Provider {
    type IncomingRequest = IncomingRequest;
    type Object = Opened;
    type UpstreamResponse = UpstreamResponse;
}

impl GuestIncomingRequest for IncomingRequest {}
impl GuestObject for Opened {}
impl GuestUpstreamResponse for UpstreamResponse {}

impl IncomingRequest {
    /// Takes the body; `None` if it was taken before.
    pub(crate) fn take_body(&self) -> Option<Body> {
        let request = self.request.borrow_mut().take()?;
        let (outcome, reader) = wit_future::new(|| Ok(()));
        drop(outcome);
        let (data, end) = Request::consume_body(request, reader);
        Some(Body { data, end, length: self.content_length })
    }
}
