//! The entry point: finds the route of a request and calls its handler.
//!
//! Called by `bindings` for every request. Must not inspect bodies or header fields.

use crate::ports::{Host, Request, Response};
use crate::route::Route;
use crate::{blob, forward, pages, twirp, v1};

/// Handles one request. Never fails: an error becomes a status and a body that the client
/// understands.
pub async fn handle<H: Host>(host: &H, request: Request<H::IncomingRequest>) -> Response<H> {
    let mut response = match Route::of(&request.method, &request.path, request.query.as_deref()) {
        Route::V2(call) => twirp::handle(host, &request, call).await,
        Route::UnknownV2 => twirp::unknown_call(&request),
        Route::V1(call) => v1::handle(host, &request, call).await,
        Route::Upload { name, operation } => blob::upload(host, &request, name, operation).await,
        Route::Download { entry, method } => blob::download(host, &request, entry, method).await,
        Route::Health => pages::health(),
        Route::Root => pages::root(),
        Route::NotFound(reason) => pages::not_found(reason),
        Route::Upstream => forward::forward(host, &request).await,
    };
    response.outcome = Some(request.outcome.take());
    response
}

/// Returns whether a request may be handled twice: lookups, downloads and the server's own pages. A
/// forwarded request may not: the upstream may change something.
#[must_use]
pub fn is_repeatable(method: &str, path: &str) -> bool {
    Route::of(method, path, None).is_repeatable()
}

#[cfg(test)]
mod tests;
