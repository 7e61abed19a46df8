//! `larder:cache/http`: request bodies in memory, and the upstream service.

use std::{pin::pin, sync::Arc, time::Instant};

use ::http::StatusCode;
use larder_metrics::Metrics;
use tokio::select;
use wasmtime::component::{Accessor, HasSelf, Resource, ResourceTableError};

use super::{
    bindings::larder::cache::http::{Error, Host, HostWithStore},
    errors::HttpCallError,
    for_request::ForRequest,
    state::State,
    types::{Body, IncomingRequest, UpstreamResponse},
};
use crate::{
    message::{QuotaExceeded, RequestContext},
    net::Forwarder,
};

/// Longest body that is read into memory, in bytes, whatever limit the component passes.
const MAX_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// Longest body that is kept for a second attempt, in bytes: no message of a repeatable request is
/// longer.
const MAX_REPLAY_BYTES: usize = 256 * 1024;

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
        let (body, context) = accessor.with(|mut access| {
            let incoming = access.get().table.get_mut(&request)?;
            Ok::<_, ResourceTableError>((incoming.take_body(), incoming.context.clone()))
        })?;
        let Body::Unread(body) = body else { return Err(Error::BodyUsed.into()) };
        let bytes = context.quota.read(body, limit.min(MAX_BODY_BYTES)).await?;
        context.replay_body.set(Some(&bytes).filter(|bytes| bytes.len() <= MAX_REPLAY_BYTES).cloned());
        Ok(bytes.into())
    }

    async fn forward(
        accessor: &Accessor<State, Self>,
        request: Resource<IncomingRequest>,
    ) -> Result<Resource<UpstreamResponse>, HttpCallError> {
        let (forwarder, forwarded, metrics) = accessor.with(|mut access| {
            let state = access.get();
            let forwarded = ForwardedRequest::of(state.table.get_mut(&request)?);
            Ok::<_, ResourceTableError>((state.forwarder(), forwarded, state.tenant.metrics.clone()))
        })?;
        let Some(forwarder) = forwarder else { return Err(Error::NoUpstream.into()) };
        let context = forwarded.context.clone();
        let call = pin!(forwarded.forward(&forwarder, &metrics));
        let response = select! {
            response = call.for_request(accessor, "http.forward") => response?,
            // A slow upstream may take any time while the client waits. Afterwards the call must
            // not pile up; the error does not blame the upstream.
            () = context.client.wait() => return Err(Error::CutShort.into()),
        };
        // A full table fails this call, not the instance.
        accessor.with(|mut access| access.get().table.push(response)).map_err(|_| Error::Busy.into())
    }
}

/// A request to be forwarded.
struct ForwardedRequest {
    context: Arc<RequestContext>,
    body: Body,
}

impl ForwardedRequest {
    fn of(incoming: &mut IncomingRequest) -> Self {
        Self { context: incoming.context.clone(), body: incoming.take_body() }
    }

    async fn forward(self, forwarder: &Forwarder, metrics: &Metrics) -> Result<UpstreamResponse, Error> {
        let Body::Unread(body) = self.body else { return Err(Error::BodyUsed) };
        let permit = self.context.quota.acquire_forward().await.map_err(|QuotaExceeded| Error::Busy)?;
        let began = Instant::now();
        let response = forwarder.forward(&self.context.head, body).await;
        let code = response.as_ref().map_or(StatusCode::BAD_GATEWAY, ::http::Response::status);
        metrics.count_forwarded(code.as_u16(), began.elapsed());
        let response = response?;
        Ok(UpstreamResponse { response, permit })
    }
}
