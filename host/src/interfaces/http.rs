//! `larder:cache/http`: request bodies in memory, and the upstream service.

use tokio::select;
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::{
    engine::{
        State,
        bindings::larder::cache::http::{Error, Host, HostWithStore},
    },
    interfaces::types::{Body, Incoming, UpstreamResponse},
    storage::SourceError,
};

/// Longest body that is read into memory, in bytes, whatever the component asks for.
const MAX_BODY_BYTES: u64 = 8 * 1024 * 1024;

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
        let read = match body {
            Body::Unread(body) => body.read_to_end(limit.min(MAX_BODY_BYTES)).await.map_err(Into::into),
            Body::Taken => Err(Error::BodyUsed),
        };
        Ok(read.map(|bytes| {
            let copy = bytes.to_vec();
            *kept.lock() = Some(bytes);
            copy
        }))
    }

    async fn forward(
        accessor: &Accessor<State, Self>,
        request: Resource<Incoming>,
    ) -> wasmtime::Result<Result<Resource<UpstreamResponse>, Error>> {
        let (services, head, body, client) = accessor.with(|mut access| {
            let state = access.get();
            let incoming = state.table.get_mut(&request)?;
            let (head, body, client) = (incoming.head.clone(), incoming.take_body(), incoming.client.clone());
            Ok::<_, wasmtime::Error>((state.services.clone(), head, body, client))
        })?;
        let Some(forwarder) = &services.forwarder else { return Ok(Err(Error::NoUpstream)) };
        let body = match body {
            Body::Unread(body) => body,
            Body::Taken => return Ok(Err(Error::BodyUsed)),
        };
        let forwarded = select! {
            forwarded = forwarder.forward(&head, body) => forwarded,
            // The upstream may take its time; but a call that nobody waits for must not pile up.
            () = client.ended() => return Ok(Err(Error::Unavailable("the client is gone".to_owned()))),
        };
        match forwarded {
            Ok(response) => {
                let handle =
                    accessor.with(|mut access| access.get().table.push(UpstreamResponse(response)))?;
                Ok(Ok(handle))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::CutShort => Self::CutShort,
            SourceError::TooLarge => Self::TooLarge,
        }
    }
}
