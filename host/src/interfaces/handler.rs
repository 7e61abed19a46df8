//! `larder:cache/handler`: converts requests to the component's types, and validates its responses.

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{self, AUTHORIZATION, CONTENT_LENGTH},
};
use wasmtime::component::ResourceTableError;

use super::{
    bindings::larder::cache::types::{self as wit, MissCause, OutcomeKind, Payload},
    rules,
    state::State,
    types::{Body, IncomingRequest, UpstreamResponse},
};
use crate::{
    message::{Outcome, Outgoing, Request, Response},
    net::is_hop_by_hop,
};

/// Most header fields in a component's response.
pub(super) const MAX_HEADERS: usize = 100;
/// Longest body in memory of a component's response, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Why a component's response cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidResponse {
    #[error("status {0}")]
    Status(u16),
    #[error("too many header fields")]
    TooManyHeaders,
    #[error("header field `{0}`")]
    Header(String),
    #[error("content-length is not the object's {0}")]
    Length(u64),
    #[error("a body of {0} bytes")]
    TooLarge(usize),
    #[error("a handle that it does not own")]
    Handle(#[from] ResourceTableError),
}

/// Converts a request for the component, without its `authorization` field.
///
/// # Errors
/// When the instance has no free handle.
pub(crate) fn request(state: &mut State, request: Request) -> Result<wit::Request, ResourceTableError> {
    let Request { context, body } = request;
    let incoming = IncomingRequest { context: context.clone(), body: Body::Unread(body) };
    let incoming = state.table.push(incoming)?;
    let head = &context.head;
    Ok(wit::Request {
        id: context.record.id().to_owned(),
        received_ms: context.received_ms,
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: visible_headers(&head.headers),
        origin: context.origin.clone(),
        rules: rules::asked(&state.tenant),
        incoming,
    })
}

fn visible_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| *name != AUTHORIZATION)
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

/// Converts the component's part of a request's log line.
pub(crate) fn outcome(from: wit::Outcome) -> Outcome {
    let kind = match from.kind {
        OutcomeKind::Hit => "hit",
        OutcomeKind::Miss => "miss",
        OutcomeKind::Stale => "stale",
        OutcomeKind::Reserved => "reserved",
        OutcomeKind::Exists => "exists",
        OutcomeKind::Stored => "stored",
        OutcomeKind::Committed => "committed",
        OutcomeKind::Finalized => "finalized",
        OutcomeKind::Served => "served",
        OutcomeKind::Forwarded => "forwarded",
        OutcomeKind::Denied => "denied",
        OutcomeKind::Refused => "refused",
        OutcomeKind::Failed => "failed",
    };
    let wit::Outcome { kind: _, repository, scope, key, version, matched_key, upload, entry, reason, miss } =
        from;
    let miss = miss.map(miss_word);
    Outcome { kind, repository, scope, key, version, matched_key, upload, entry, reason, miss }
}

/// Returns the cause of a miss, as it is logged and printed.
pub(super) fn miss_word(cause: MissCause) -> &'static str {
    match cause {
        MissCause::NeverSaved => "never-saved",
        MissCause::OtherScope => "other-scope",
        MissCause::OtherVersion => "other-version",
        MissCause::Uploading => "uploading",
        MissCause::Stale => "stale",
        MissCause::Quarantined => "quarantined",
        MissCause::Expired => "expired",
        MissCause::Evicted => "evicted",
        MissCause::Superseded => "superseded",
        MissCause::Revoked => "revoked",
        MissCause::ClosedScope => "closed-scope",
        MissCause::Deleted => "deleted",
        MissCause::Denied => "denied",
        MissCause::Rule => "rule",
    }
}

/// Converts the component's response into the one that is sent for a request with this method.
///
/// # Errors
/// When a part of it breaks a rule of the world: see [`InvalidResponse`].
pub(crate) fn response(
    state: &mut State,
    from: wit::Response,
    method: &Method,
) -> Result<Response, InvalidResponse> {
    // The payload first: its handle leaves the table even if the rest is rejected.
    let (body, rule) = match from.payload {
        Payload::Upstream(handle) => {
            let upstream = state.table.delete(handle)?;
            return pass_on(upstream, from.headers);
        }
        Payload::Object(handle) => {
            let content = state.table.delete(handle)?.0;
            let length = content.length;
            (Outgoing::stored(content), LengthRule::Exactly(length))
        }
        Payload::Bytes(bytes) if bytes.len() > MAX_BODY_BYTES => {
            return Err(InvalidResponse::TooLarge(bytes.len()));
        }
        Payload::Bytes(bytes) => (Outgoing::full(bytes), LengthRule::Server),
        Payload::Empty if method == Method::HEAD || from.status == StatusCode::NOT_MODIFIED => {
            (Outgoing::empty(), LengthRule::Optional)
        }
        Payload::Empty => (Outgoing::empty(), LengthRule::Server),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status(from.status)?;
    *response.headers_mut() = headers(from.headers)?;
    apply_length_rule(response.headers_mut(), &rule)?;
    Ok(response)
}

/// The rule for a response's `content-length`.
enum LengthRule {
    /// The server sets it: the body is in memory.
    Server,
    /// The component may set it: there is no body.
    Optional,
    /// The component must set it to this value.
    Exactly(u64),
}

fn apply_length_rule(headers: &mut HeaderMap, rule: &LengthRule) -> Result<(), InvalidResponse> {
    match rule {
        LengthRule::Server => drop(headers.remove(CONTENT_LENGTH)),
        LengthRule::Optional => {}
        LengthRule::Exactly(bytes) => {
            let announced =
                headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            if announced != Some(*bytes) {
                return Err(InvalidResponse::Length(*bytes));
            }
        }
    }
    Ok(())
}

fn status(code: u16) -> Result<StatusCode, InvalidResponse> {
    let status = StatusCode::from_u16(code).ok().filter(|s| (200..600).contains(&s.as_u16()));
    status.ok_or(InvalidResponse::Status(code))
}

fn headers(fields: Vec<(String, String)>) -> Result<HeaderMap, InvalidResponse> {
    if fields.len() > MAX_HEADERS {
        return Err(InvalidResponse::TooManyHeaders);
    }
    let mut map = HeaderMap::with_capacity(fields.len() + 2);
    for (name, value) in fields {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !is_hop_by_hop(name));
        match (parsed, HeaderValue::try_from(value)) {
            (Some(name), Ok(value)) => drop(map.append(name, value)),
            _ => return Err(InvalidResponse::Header(name)),
        }
    }
    Ok(map)
}

/// The upstream's response without its hop-by-hop header fields, and with those that the component
/// added.
fn pass_on(upstream: UpstreamResponse, added: Vec<(String, String)>) -> Result<Response, InvalidResponse> {
    let UpstreamResponse { response: upstream, permit } = upstream;
    let (mut parts, body) = upstream.into_parts();
    crate::net::remove_hop_by_hop(&mut parts.headers);
    for (name, value) in &headers(added)? {
        parts.headers.insert(name, value.clone());
    }
    parts.headers.remove(header::CONNECTION);
    let mut response = Response::new(Outgoing::upstream(body, permit));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    Ok(response)
}
