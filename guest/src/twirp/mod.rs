//! Protocol version 2 of the cache service: Twirp, in JSON or protobuf.
//!
//! Called by `handler`. Each call verifies the token, decodes and validates the message, calls
//! `service`, and encodes the reply as the request was encoded. Errors are always JSON (protocol
//! reference 1.6). Authority comes from the token alone, never from a message.

mod create;
mod error;
mod json;
mod protobuf;

pub(crate) use error::{error_response, unlogged_error_response};

use crate::Policy;
use crate::ports::{Host, OutcomeKind, Request, Response};
use crate::route;
use crate::service::{self, Caller, Code, Error, Hit, Message, ValidRequest};

/// The largest message, in bytes: enough for a hundred restore keys of maximum length.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024;

/// The encoding of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

/// The reply to a call.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// The slot is reserved; the content is uploaded to this URL.
    Reserved { upload_url: String },
    /// The token or a rule does not let it save, or there is no space: a failure with status 200, for
    /// `@actions/cache`.
    Denied { message: String },
    /// The entry exists.
    Finalized { entry_id: u64 },
    /// A match.
    Hit { download_url: String, matched_key: String },
    /// No match. Not an error for any client.
    Miss,
}

/// Handles a call.
pub(crate) async fn handle<H: Host>(
    policy: &dyn Policy,
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: route::V2Call,
) -> Response<H> {
    match respond(policy, host, request, call).await {
        Ok(response) => response,
        Err(error) => error_response(host, request, &error),
    }
}

/// Rejects a request below the path of the cache service that is none of its calls.
pub(crate) fn unknown_call<H: Host>(request: &Request<H::IncomingRequest>) -> Response<H> {
    let method: String = request.method.chars().take(32).collect();
    let path: String = request.path.chars().take(256).collect();
    let error = Error::new(Code::BadRoute, format!("no handler for {method} {path}"));
    request.record(|outcome| outcome.reason = Some("no such call of the cache service".to_owned()));
    unlogged_error_response(&error)
}

async fn respond<H: Host>(
    policy: &dyn Policy,
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: route::V2Call,
) -> Result<Response<H>, Error> {
    let encoding = Encoding::of(request.header("content-type"))?;
    let claims = match service::verify(policy, host, request, call != route::V2Call::Lookup).await {
        Err(error) if call == route::V2Call::Create && error.code() == Code::PermissionDenied => {
            return encoding.encode(create::denied(request, encoding, error)?);
        }
        claims => claims?,
    };
    let body = host.read_body(&request.incoming, MAX_MESSAGE_BYTES).await?;
    let message = encoding.decode(call, &body)?.validate()?;
    request.record(|outcome| outcome.set_key(&message.key, &message.version));
    let caller = Caller { policy, host, request, claims: &claims };
    let reply = match call {
        route::V2Call::Create => create::create(&TwirpCall { caller, encoding }, message).await?,
        route::V2Call::Finalize => match finalize(&caller, message).await {
            Err(error) if error.code() == Code::PermissionDenied => create::denied(request, encoding, error)?,
            finalized => finalized?,
        },
        route::V2Call::Lookup => lookup(&caller, &message).await?,
    };
    encoding.encode(reply)
}

/// A call, and the encoding of its reply.
struct TwirpCall<'a, H: Host> {
    caller: Caller<'a, H>,
    encoding: Encoding,
}

async fn finalize<H: Host>(caller: &Caller<'_, H>, message: ValidRequest) -> Result<Reply, Error> {
    let size_bytes = message.size_bytes;
    let slot = message.slot(caller.claims, service::writable_scope(caller)?);
    let entry = service::finalize(caller, slot, size_bytes).await?;
    let Some(entry) = entry else {
        return Ok(Reply::Finalized { entry_id: service::refusal::NO_ENTRY });
    };
    caller.request.record(|outcome| {
        outcome.set_kind(OutcomeKind::Finalized);
        outcome.entry = Some(entry.id);
    });
    Ok(Reply::Finalized { entry_id: entry.id })
}

/// The matched key is the stored one, in full: clients compare it with the requested key.
async fn lookup<H: Host>(caller: &Caller<'_, H>, message: &ValidRequest) -> Result<Reply, Error> {
    let hit = service::lookup(caller, message, &download_origin(caller)).await?;
    let reply = |Hit { entry, download_url }| Reply::Hit { download_url, matched_key: entry.slot.key };
    Ok(hit.map_or(Reply::Miss, reply))
}

/// Returns the origin of download URLs. `@actions/cache` uses eight parallel readers if the host
/// name ends in `.blob.core.windows.net`, and one otherwise (protocol reference, section 4). No
/// other client cares.
fn download_origin<H: Host>(caller: &Caller<'_, H>) -> String {
    let settings = caller.host.settings();
    let parallel = settings.parallel_download_origin.as_ref().filter(|_| caller.is_actions_cache());
    parallel.unwrap_or(&caller.request.origin).clone()
}

impl Encoding {
    /// Parses a content type, ignoring parameters and case. The default is JSON.
    fn of(content_type: Option<&str>) -> Result<Self, Error> {
        let Some(content_type) = content_type else {
            return Ok(Self::Json);
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.is_empty() || essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/protobuf") {
            Ok(Self::Protobuf)
        } else {
            // Twirp specifies 404, which some clients take for a miss.
            Err(Error::new(Code::Malformed, "content type must be application/json or application/protobuf"))
        }
    }

    fn decode(self, call: route::V2Call, body: &[u8]) -> Result<Message, Error> {
        match self {
            Self::Json => json::decode(body),
            Self::Protobuf => protobuf::decode(call, body),
        }
    }

    fn encode<H: Host>(self, reply: Reply) -> Result<Response<H>, Error> {
        // Exactly these types, without parameters: one client compares them byte by byte.
        match self {
            Self::Json => Ok(Response::bytes(200, "application/json", json::encode(&reply)?)),
            Self::Protobuf => Ok(Response::bytes(200, "application/protobuf", protobuf::encode(reply))),
        }
    }
}

#[cfg(test)]
mod tests;
