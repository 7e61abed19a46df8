//! Everything that is not ours goes to the real results service: artifacts, logs, whatever comes next.
//!
//! Called by `handler`. Must never look into what it forwards.

use crate::ports::{Host, HttpError, OutcomeKind, Payload, Request, Response};
use crate::service::{Code, Error};

/// Forwards a request; answers at once, in JSON, where that does not work: without an upstream 404, with one that cannot
/// be reached 502.
pub(crate) async fn answer<H: Host>(host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
    match host.forward(&request.incoming).await {
        Ok(upstream) => {
            request.note(|outcome| outcome.is(OutcomeKind::Forwarded));
            Response::new(200, Payload::Upstream(upstream))
        }
        Err(error) => refusal(error).into_response(host, request),
    }
}

fn refusal(error: HttpError) -> Error {
    match error {
        HttpError::NoUpstream => Error::new(Code::BadRoute, "no such route, and no upstream is configured"),
        HttpError::Unavailable(how) => {
            Error::new(Code::BadGateway, "the upstream service cannot be reached").caused_by(how)
        }
        HttpError::Busy => Error::new(Code::Unavailable, "the server is busy"),
        HttpError::CutShort => Error::new(Code::Malformed, "the request body ended early"),
        HttpError::TooLarge => Error::new(Code::InvalidArgument, "the request body is too large"),
        HttpError::BodyUsed => {
            Error::new(Code::Internal, "internal error").caused_by("the body was taken before")
        }
    }
}

#[cfg(test)]
mod tests;
