//! The calls of the cache service, protocol version 2: Twirp, in JSON or protobuf.
//!
//! Called by `handler`. One spine: verify the token, read and check the message, do the call, encode the reply as the
//! request was encoded. Errors are JSON always (protocol reference 1.6). Must never take authority from a message: what a
//! request may do comes from its token alone.

mod create;
mod json;
mod protobuf;

use crate::ports::{Host, OutcomeKind, Request, Response};
use crate::route;
use crate::service::{self, Caller, Checked, Code, Error, Hit, Message};

/// The largest message, in bytes: a hundred restore keys of full length fit.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024;

/// How a message is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

/// The answer to a call that was understood and allowed.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// The slot is reserved; the content goes to this URL.
    Reserved { upload_url: String },
    /// This token may not save, or there is no space, said in the way in which `@actions/cache` understands it.
    Denied { message: String },
    /// The entry is there for everybody.
    Finalized { entry_id: u64 },
    /// Here it is.
    Hit { download_url: String, matched_key: String },
    /// There is nothing. Not an error, to no client.
    Miss,
}

/// Answers a call.
pub(crate) async fn answer<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: route::Call,
) -> Response<H> {
    match respond(host, request, call).await {
        Ok(response) => response,
        Err(error) => error.into_response(host, request),
    }
}

/// Answers what is under the cache service, but none of its calls.
pub(crate) fn unknown_call<H: Host>(request: &Request<H::IncomingRequest>) -> Response<H> {
    let method: String = request.method.chars().take(32).collect();
    let path: String = request.path.chars().take(256).collect();
    let error = Error::new(Code::BadRoute, format!("no handler for {method} {path}"));
    request.note(|outcome| outcome.reason = Some("no such call of the cache service".to_owned()));
    error.into_silent_response()
}

async fn respond<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    call: route::Call,
) -> Result<Response<H>, Error> {
    let encoding = Encoding::of(request.header("content-type"))?;
    let claims = match service::verify(host, request, call != route::Call::Lookup).await {
        Err(error) if call == route::Call::Create && error.code() == Code::PermissionDenied => {
            return encoding.encode(create::denied(request, encoding, error)?);
        }
        claims => claims?,
    };
    let body = host.read_body(&request.incoming, MAX_MESSAGE_BYTES).await?;
    let message = encoding.decode(call, &body)?.checked()?;
    request.note(|outcome| outcome.ask(&message.key, &message.version));
    let caller = Caller { host, request, claims: &claims };
    let reply = match call {
        route::Call::Create => create::create(&Call { caller, encoding }, message).await?,
        route::Call::Finalize => finalize(&caller, message).await?,
        route::Call::Lookup => lookup(&caller, &message).await?,
    };
    encoding.encode(reply)
}

/// A call, and the encoding that its reply will have.
struct Call<'a, H: Host> {
    caller: Caller<'a, H>,
    encoding: Encoding,
}

async fn finalize<H: Host>(caller: &Caller<'_, H>, message: Checked) -> Result<Reply, Error> {
    let size_bytes = message.size_bytes;
    let slot = message.slot(caller.claims, service::writable_scope(caller)?);
    let entry = service::finalize(caller, slot, size_bytes).await?;
    caller.request.note(|outcome| {
        outcome.is(OutcomeKind::Finalized);
        outcome.entry = Some(entry.id);
    });
    Ok(Reply::Finalized { entry_id: entry.id })
}

/// The matched key is the stored one, in full: clients compare it with what they asked for.
async fn lookup<H: Host>(caller: &Caller<'_, H>, message: &Checked) -> Result<Reply, Error> {
    let hit = service::lookup(caller, message, &download_origin(caller)).await?;
    let reply = |Hit { entry, download_url }| Reply::Hit { download_url, matched_key: entry.slot.key };
    Ok(hit.map_or(Reply::Miss, reply))
}

/// `@actions/cache` downloads by eight readers at once from a host whose name ends in `.blob.core.windows.net`, and by one
/// from all others (protocol reference, section 4); no other client cares.
fn download_origin<H: Host>(caller: &Caller<'_, H>) -> String {
    let parallel = caller.host.settings().parallel_download_origin.filter(|_| caller.is_actions_cache());
    parallel.unwrap_or_else(|| caller.request.origin.clone())
}

impl Encoding {
    /// Reads a content type; parameters and case do not matter. Without one, JSON is meant.
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
            // Twirp would have this a 404, which some clients take for a miss.
            Err(Error::new(Code::Malformed, "content type must be application/json or application/protobuf"))
        }
    }

    fn decode(self, call: route::Call, body: &[u8]) -> Result<Message, Error> {
        match self {
            Self::Json => json::decode(body),
            Self::Protobuf => protobuf::decode(call, body),
        }
    }

    fn encode<H: Host>(self, reply: Reply) -> Result<Response<H>, Error> {
        // Exactly these types, without parameters: one client compares them byte for byte.
        match self {
            Self::Json => Ok(Response::bytes(200, "application/json", json::encode(&reply)?)),
            Self::Protobuf => Ok(Response::bytes(200, "application/protobuf", protobuf::encode(reply))),
        }
    }
}

#[cfg(test)]
mod tests;
