//! The spine: a request comes in, its route says who answers it.
//!
//! Called by `bindings` for every request. Must never look into a body or a header field itself.

use crate::ports::{Host, Request, Response};
use crate::route::Route;
use crate::{blob, forward, pages, twirp, v1};

/// Answers one request. Always answers: what fails becomes a status and a body that the client can read.
pub async fn handle<H: Host>(host: &H, request: Request<H::IncomingRequest>) -> Response<H> {
    let mut response = match Route::of(&request.method, &request.path, request.query.as_deref()) {
        Route::Call(call) => twirp::answer(host, &request, call).await,
        Route::UnknownCall => twirp::unknown_call(&request),
        Route::CallV1(call) => v1::answer(host, &request, call).await,
        Route::Upload { name, step } => blob::upload(host, &request, name, step).await,
        Route::Download { entry, verb } => blob::download(host, &request, entry, verb).await,
        Route::Health => pages::health(),
        Route::Root => pages::root(),
        Route::Nowhere(stray) => pages::nowhere(stray),
        Route::Elsewhere => forward::answer(host, &request).await,
    };
    response.outcome = Some(request.outcome.take());
    response
}

/// Returns whether a request changes nothing that a second handling would change again: lookups, downloads and the
/// server's own pages. What is forwarded is not: only the upstream knows.
#[must_use]
pub fn is_repeatable(method: &str, path: &str) -> bool {
    Route::of(method, path, None).is_repeatable()
}

#[cfg(test)]
mod tests;
