//! Protocol version 1 of the cache service, `/_apis/artifactcache/`, as used by `@actions/cache`
//! before 4.0, container actions, GitHub Enterprise Server, Gitea, Forgejo and act (protocol
//! reference, section 2).
//!
//! Called by `handler`. The same entries as version 2. Every call needs a bearer token. Errors are
//! JSON with a `message`. Authority comes from the token alone, never from a path, a query or a
//! message.

mod chunk;
mod commit;
mod error;
mod lookup;
mod reserve;

use serde::Deserialize;

use crate::Policy;
use crate::ports::{Claims, Host, Payload, Request, Response, Upload};
use crate::route::V1Call;
use crate::service::{self, Caller, Code, Error, clip};
use crate::writer::Writer;

/// The largest message, in bytes.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024;

/// Handles a call.
pub(crate) async fn handle<H: Host>(
    policy: &dyn Policy,
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: V1Call<'_>,
) -> Response<H> {
    match respond(policy, host, request, call).await {
        Ok(response) => response,
        Err(error) => error::error_response(host, request, &error),
    }
}

async fn respond<H: Host>(
    policy: &dyn Policy,
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: V1Call<'_>,
) -> Result<Response<H>, Error> {
    if call == V1Call::Unknown {
        return Err(Error::new(Code::BadRoute, "no such call of the cache service, version 1"));
    }
    let writes = !matches!(call, V1Call::Lookup | V1Call::List);
    let claims: Claims = service::verify(policy, host, request, writes).await?;
    let caller = Caller { policy, host, request, claims: &claims };
    match call {
        V1Call::Lookup => lookup::lookup(&caller).await,
        V1Call::List => lookup::list(),
        V1Call::Reserve => reserve::reserve(&caller).await,
        V1Call::Chunk { id } => chunk::chunk(&caller, id).await,
        V1Call::Commit { id } => commit::commit(&caller, id).await,
        V1Call::Unknown => Err(Error::new(Code::BadRoute, "no such call")),
    }
}

/// Reads and decodes the request's JSON message.
async fn message<H: Host, T: for<'de> Deserialize<'de>>(caller: &Caller<'_, H>) -> Result<T, Error> {
    let body = caller.host.read_body(&caller.request.incoming, MAX_MESSAGE_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Error::new(Code::Malformed, clip(&format!("the message is not the expected JSON: {error}")))
    })
}

/// Parses the number in a path: the upload's id, and the writer.
///
/// # Errors
/// `not_found` if it is not a number.
fn parse_number(id: &str) -> Result<(u64, Writer), Error> {
    id.parse().map(Writer::of_number).map_err(|_| no_upload())
}

/// Rejects a writer that no longer holds the upload.
fn check_writer(writer: Writer, upload: &Upload) -> Result<(), Error> {
    if writer.is_current(upload) { Ok(()) } else { Err(Error::new(Code::AlreadyExists, service::DISPLACED)) }
}

/// Returns whether the caller may write the upload: it is of the repository and scope that the
/// caller saves into. For all other callers it does not exist.
fn may_write<H: Host>(caller: &Caller<'_, H>, upload: &Upload) -> Result<bool, Error> {
    let scope = service::writable_scope(caller)?;
    Ok(upload.slot.repository == caller.claims.repository && upload.slot.scope == scope)
}

fn no_upload() -> Error {
    Error::new(Code::NotFound, "there is no such reservation, or it has ended")
}

/// An empty response, 204.
fn no_content<H: Host>() -> Response<H> {
    Response::new(204, Payload::Empty)
}

#[cfg(test)]
mod tests;
