//! `larder:cache/http`: request bodies in memory, and the upstream service.

use std::sync::Arc;

use ::http::request::Parts;
use tokio::select;
use wasmtime::component::{Accessor, HasSelf, Resource, ResourceTableError};

use super::{
    bindings::larder::cache::http::{Error, Host, HostWithStore},
    errors::HttpCallError,
    for_request::ForRequest,
    state::State,
    types::{Body, IncomingRequest, ReplayBody, UpstreamResponse},
};
use crate::{
    message::{ClientGone, Full},
    net::Forwarder,
};

/// Longest body that is read into memory, in bytes, whatever limit the component passes.
const MAX_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// Longest body that is kept for a second attempt, in bytes: no message of a repeatable request is longer.
const MAX_REPEATED_BYTES: usize = 256 * 1024;

impl Host for State {
    fn convert_error(&mut self, error: HttpCallError) -> wasmtime::Result<Error> {
        error.into_world()
    }
}

impl HostWithStore<State> for HasSelf<State> {
    async fn read_body(
        accessor: &Accessor<State, Self>,
        request: Resource<IncomingRequest>,
        limit: u64,
    ) -> Result<Vec<u8>, HttpCallError> {
        let (body, kept) = accessor.with(|mut access| {
            let incoming = access.get().table.get_mut(&request)?;
            Ok::<_, ResourceTableError>((incoming.take_body(), incoming.kept.clone()))
        })?;
        let Body::Unread(body) = body else { return Err(Error::BodyUsed.into()) };
        let bytes = kept.ticket.read(body, limit.min(MAX_BODY_BYTES)).await?;
        *kept.body.lock() = Some(&bytes).filter(|bytes| bytes.len() <= MAX_REPEATED_BYTES).cloned();
        Ok(bytes.into())
    }

    async fn forward(
        accessor: &Accessor<State, Self>,
        request: Resource<IncomingRequest>,
    ) -> Result<Resource<UpstreamResponse>, HttpCallError> {
        let (services, forwarded) = accessor.with(|mut access| {
            let state = access.get();
            let incoming = state.table.get_mut(&request)?;
            Ok::<_, ResourceTableError>((state.services.clone(), ForwardedRequest::of(incoming)))
        })?;
        let Some(forwarder) = &services.forwarder else { return Err(Error::NoUpstream.into()) };
        let client = forwarded.client.clone();
        let response = select! {
            response = forwarded.forward(forwarder).for_request(accessor) => response?,
            // A slow upstream may take any time while the client waits. Afterwards the call must not pile up; the error
            // does not blame the upstream.
            () = client.ended() => return Err(Error::CutShort.into()),
        };
        // A full table fails this call, not the instance.
        accessor.with(|mut access| access.get().table.push(response)).map_err(|_| Error::Busy.into())
    }
}

/// A request to be forwarded.
struct ForwardedRequest {
    head: Arc<Parts>,
    body: Body,
    client: ClientGone,
    kept: Arc<ReplayBody>,
}

impl ForwardedRequest {
    fn of(incoming: &mut IncomingRequest) -> Self {
        let body = incoming.take_body();
        let (head, client, kept) = (incoming.head.clone(), incoming.client.clone(), incoming.kept.clone());
        Self { head, body, client, kept }
    }

    async fn forward(self, forwarder: &Forwarder) -> Result<UpstreamResponse, Error> {
        let Body::Unread(body) = self.body else { return Err(Error::BodyUsed) };
        let place = self.kept.ticket.forward().await.map_err(|Full| Error::Busy)?;
        let response = forwarder.forward(&self.head, body).await?;
        Ok(UpstreamResponse { response, place })
    }
}
