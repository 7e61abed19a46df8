//! The entry point: finds the route of a request and calls its handler.
//!
//! Called by a policy (`Policy::handle`) for every request that it does not answer itself. Must not inspect
//! bodies or header fields.

use crate::ports::{Host, Request, Response};
use crate::route::Route;
use crate::{Policy, blob, forward, pages, twirp, v1};

/// Answers one request, and adds what the log line gets.
pub(crate) async fn answer<P: Policy, H: Host>(
    policy: &P,
    host: &H,
    request: Request<H::IncomingRequest>,
) -> Response<H> {
    let mut response = policy.handle(host, &request).await;
    response.outcome = Some(request.outcome.take());
    response
}

/// Handles one request as Larder's own policy does: the cache service in both versions, transfers, the
/// server's pages; the upstream has the rest. Never fails: an error becomes a status and a body that the
/// client understands.
pub async fn handle<H: Host>(
    policy: &dyn Policy,
    host: &H,
    request: &Request<H::IncomingRequest>,
) -> Response<H> {
    match Route::of(&request.method, &request.path, request.query.as_deref()) {
        Route::V2(call) => twirp::handle(policy, host, request, call).await,
        Route::UnknownV2 => twirp::unknown_call(request),
        Route::V1(call) => v1::handle(policy, host, request, call).await,
        Route::Upload { name, operation } => blob::upload(host, request, name, operation).await,
        Route::Download { entry, method } => blob::download(host, request, entry, method).await,
        Route::Health => pages::health(),
        Route::Root => pages::root(),
        Route::NotFound(reason) => pages::not_found(reason),
        Route::Upstream => forward::forward(host, request).await,
    }
}

/// Returns whether a request may be handled twice: lookups, downloads and the server's own pages. A
/// forwarded request may not: the upstream may change something.
#[must_use]
pub fn is_repeatable(method: &str, path: &str) -> bool {
    Route::of(method, path, None).is_repeatable()
}

#[cfg(test)]
mod tests;
