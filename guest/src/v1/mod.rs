//! Version 1 of the cache service: `/_apis/artifactcache/`, as `@actions/cache` before 4.0, container actions, GitHub
//! Enterprise Server, Gitea, Forgejo and act speak it (protocol reference, section 2).
//!
//! Called by `handler`. The same entries as version 2: what is saved by one is found by the other. Every call proves itself by
//! its bearer token. An answer has a status that clients of version 1 understand, and where it has a body it is JSON with a
//! `message`. Must never take authority from a path, a query or a message.

mod chunk;
mod commit;
mod lookup;
mod reserve;

use serde::Deserialize;

use crate::ports::{Claims, Host, Payload, Request, Response, Upload};
use crate::route::CallV1;
use crate::service::{self, Caller, Code, Error, clip};
use crate::writer::Writer;

/// The largest message, in bytes.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024;

/// Answers a call.
pub(crate) async fn answer<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: CallV1<'_>,
) -> Response<H> {
    match respond(host, request, call).await {
        Ok(response) => response,
        Err(error) => error.into_response_v1(host, request),
    }
}

async fn respond<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: CallV1<'_>,
) -> Result<Response<H>, Error> {
    if call == CallV1::Unknown {
        return Err(Error::new(Code::BadRoute, "no such call of the cache service, version 1"));
    }
    let writes = !matches!(call, CallV1::Lookup | CallV1::List);
    let claims: Claims = service::verify(host, request, writes).await?;
    let caller = Caller { host, request, claims: &claims };
    match call {
        CallV1::Lookup => lookup::lookup(&caller).await,
        CallV1::List => lookup::list(),
        CallV1::Reserve => reserve::reserve(&caller).await,
        CallV1::Chunk { id } => chunk::chunk(&caller, id).await,
        CallV1::Commit { id } => commit::commit(&caller, id).await,
        CallV1::Unknown => Err(Error::new(Code::BadRoute, "no such call")),
    }
}

/// Reads the request's JSON.
async fn message<H: Host, T: for<'de> Deserialize<'de>>(caller: &Caller<'_, H>) -> Result<T, Error> {
    let body = caller.host.read_body(&caller.request.incoming, MAX_MESSAGE_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Error::new(Code::Malformed, clip(&format!("the message is not the expected JSON: {error}")))
    })
}

/// Returns which upload the number in a path names, and as whose. What is none names nothing.
fn number(id: &str) -> Result<(u64, Writer), Error> {
    id.parse().map(Writer::of_number).map_err(|_| no_upload())
}

/// Refuses a writer that holds the upload no more.
fn check_writer(writer: Writer, upload: &Upload) -> Result<(), Error> {
    if writer.is_current(upload) { Ok(()) } else { Err(Error::new(Code::AlreadyExists, service::DISPLACED)) }
}

/// Returns whether an upload is of the repository and the scope that the caller saves into. Whoever may save there may go
/// on with it; to all others it does not exist.
fn is_callers<H: Host>(caller: &Caller<'_, H>, upload: &Upload) -> Result<bool, Error> {
    let scope = service::writable_scope(caller)?;
    Ok(upload.slot.repository == caller.claims.repository && upload.slot.scope == scope)
}

fn no_upload() -> Error {
    Error::new(Code::NotFound, "there is no such reservation, or it has ended")
}

/// Done, and there is nothing to say.
fn done<H: Host>() -> Response<H> {
    Response::new(204, Payload::Empty)
}

#[cfg(test)]
mod tests;
