//! Errors in Twirp's form: JSON for both encodings. A client that gets anything else retries for
//! half a minute. Also used for all requests outside of the cache service.

use serde::Serialize;

use crate::ports::{Host, Request, Response};
use crate::service::{Code, Error};

#[derive(Serialize)]
struct TwirpErrorBody<'a> {
    code: &'a str,
    msg: &'a str,
}

/// Logs an error, and returns its response.
pub(crate) fn error_response<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    error: &Error,
) -> Response<H> {
    error.log(host, request);
    unlogged_error_response(error)
}

/// Returns the response of an error without logging it.
pub(crate) fn unlogged_error_response<H: Host>(error: &Error) -> Response<H> {
    let body = serde_json::to_vec(&TwirpErrorBody { code: code_name(error.code()), msg: error.message() });
    let body = body.unwrap_or_else(|_| br#"{"code":"internal","msg":"internal error"}"#.to_vec());
    Response::bytes(error.code().status(), "application/json", body)
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "invalid_argument",
        Code::Malformed => "malformed",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        Code::NotFound => "not_found",
        Code::BadRoute => "bad_route",
        Code::AlreadyExists => "already_exists",
        Code::Internal => "internal",
        Code::BadGateway | Code::Unavailable => "unavailable",
        Code::NoSpace => "resource_exhausted",
    }
}
