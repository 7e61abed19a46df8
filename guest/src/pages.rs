//! The server's own pages. Called by `handler`. They make no host calls, so they work as long as
//! the component runs.

use crate::ports::{Host, Response};
use crate::route::NotFound;
use crate::service::{Code, Error};
use crate::twirp;

/// The health check: the guest runs.
pub(crate) fn health<H: Host>() -> Response<H> {
    Response::bytes(200, "application/json", br#"{"status":"ok"}"#.to_vec())
}

/// The server's name and version, for a browser.
pub(crate) fn root<H: Host>() -> Response<H> {
    const PAGE: &str = concat!(r#"{"server":"larder","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    Response::bytes(200, "application/json", PAGE.as_bytes().to_vec())
}

/// Explains a 404 of a path that neither this server nor the upstream has.
pub(crate) fn not_found<H: Host>(reason: NotFound) -> Response<H> {
    let text = match reason {
        NotFound::Prefixed => {
            "the cache service is at the root of this server: give clients its base URL \
             (ACTIONS_RESULTS_URL, ACTIONS_CACHE_URL) without a path"
        }
        NotFound::WellKnown => "no such page; the health check is at /health",
    };
    twirp::unlogged_error_response(&Error::new(Code::BadRoute, text))
}
