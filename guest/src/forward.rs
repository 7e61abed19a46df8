//! Forwards all other requests (artifacts, logs, whatever comes next) to the upstream results
//! service.
//!
//! Called by `handler`. Must not inspect what it forwards.

use crate::ports::{Host, HttpError, OutcomeKind, Payload, Request, Response};
use crate::service::{Code, Error};
use crate::twirp;

/// Forwards a request. Errors are JSON: 404 without an upstream, 502 if it cannot be reached.
pub async fn forward<H: Host>(host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
    match host.forward(&request.incoming).await {
        Ok(upstream) => {
            request.record(|outcome| outcome.set_kind(OutcomeKind::Forwarded));
            Response::new(200, Payload::Upstream(upstream))
        }
        Err(error) => twirp::error_response(host, request, &forward_error(error)),
    }
}

fn forward_error(error: HttpError) -> Error {
    match error {
        HttpError::NoUpstream => Error::new(Code::BadRoute, "no such route, and no upstream is configured"),
        HttpError::Unavailable(cause) => {
            Error::new(Code::BadGateway, "the upstream service cannot be reached").with_cause(cause)
        }
        HttpError::Busy => Error::new(Code::Unavailable, "the server is busy"),
        HttpError::CutShort => Error::new(Code::Malformed, "the request body ended early"),
        HttpError::TooLarge => Error::new(Code::InvalidArgument, "the request body is too large"),
        HttpError::BodyUsed => Error::internal("the body has been taken already"),
    }
}

#[cfg(test)]
mod tests;
