//! `larder:cache/http`: request bodies in memory, and the upstream service.

use std::sync::Arc;

use ::http::request::Parts;
use tokio::select;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{
    bindings::larder::cache::http::{Error, Host, HostWithStore},
    for_request::ForRequest,
    state::State,
    types::{Body, Incoming, Kept, UpstreamResponse},
};
use crate::{
    message::{Full, Presence, ReadError},
    net::Forwarder,
    storage::SourceError,
};

/// Longest body that is read into memory, in bytes, whatever the component asks for.
const MAX_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// Longest body that is kept for a second attempt, in bytes: of what can be repeated, no message is longer.
const MAX_REPEATED_BYTES: usize = 256 * 1024;

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn read_body(
        accessor: &Accessor<State, Self>,
        request: Resource<Incoming>,
        limit: u64,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let (body, kept) = accessor.with(|mut access| {
            let incoming = access.get().table.get_mut(&request)?;
            Ok::<_, wasmtime::Error>((incoming.take_body(), incoming.kept.clone()))
        })?;
        let Body::Unread(body) = body else { return Ok(Err(Error::BodyUsed)) };
        let bytes = match kept.ticket.read(body, limit.min(MAX_BODY_BYTES)).await {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error.into())),
        };
        *kept.body.lock() = Some(&bytes).filter(|bytes| bytes.len() <= MAX_REPEATED_BYTES).cloned();
        Ok(Ok(bytes.into()))
    }

    async fn forward(
        accessor: &Accessor<State, Self>,
        request: Resource<Incoming>,
    ) -> wasmtime::Result<Result<Resource<UpstreamResponse>, Error>> {
        let (services, asked) = accessor.with(|mut access| {
            let state = access.get();
            let incoming = state.table.get_mut(&request)?;
            Ok::<_, wasmtime::Error>((state.services.clone(), Forwarded::of(incoming)))
        })?;
        let Some(forwarder) = &services.forwarder else { return Ok(Err(Error::NoUpstream)) };
        let client = asked.client.clone();
        let forwarded = select! {
            forwarded = asked.forward(forwarder).for_request(accessor) => forwarded,
            // The upstream may take its time; but a call that nobody waits for must not pile up. The upstream is not to blame.
            () = client.ended() => return Ok(Err(Error::CutShort)),
        };
        let response = match forwarded {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        // A table without room costs this call, not the component.
        Ok(accessor.with(|mut access| access.get().table.push(response)).map_err(|_| Error::Busy))
    }
}

/// A request on its way to the upstream.
struct Forwarded {
    head: Arc<Parts>,
    body: Body,
    client: Presence,
    kept: Arc<Kept>,
}

impl Forwarded {
    fn of(incoming: &mut Incoming) -> Self {
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

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source(SourceError::CutShort) => Self::CutShort,
            ReadError::Source(SourceError::TooLarge) => Self::TooLarge,
            ReadError::Full(Full) => Self::Busy,
        }
    }
}
