//! The server's own pages. Called by `handler`. Ask the host for nothing: they answer as long as the component runs.

use crate::ports::{Host, Response};
use crate::route::Stray;
use crate::service::{Code, Error};

/// The guest is up and answers.
pub(crate) fn health<H: Host>() -> Response<H> {
    Response::bytes(200, "application/json", br#"{"status":"ok"}"#.to_vec())
}

/// Names the server, for whoever opens its address in a browser.
pub(crate) fn root<H: Host>() -> Response<H> {
    const PAGE: &str = concat!(r#"{"server":"larder","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    Response::bytes(200, "application/json", PAGE.as_bytes().to_vec())
}

/// Says what is wrong with a request that is neither for this server nor for the upstream.
pub(crate) fn nowhere<H: Host>(stray: Stray) -> Response<H> {
    let text = match stray {
        Stray::Prefixed => {
            "the cache service is at the root of this server: give clients its base URL \
             (ACTIONS_RESULTS_URL, ACTIONS_CACHE_URL) without a path"
        }
        Stray::Common => "there is no such page; whether the server is up is told at /health",
    };
    Error::new(Code::BadRoute, text).into_silent_response()
}
