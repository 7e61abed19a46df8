//! The server's own pages. Called by `handler`. Ask the host for nothing: they answer as long as the component runs.

use crate::ports::{Host, Response};

/// The guest is up and answers.
pub(crate) fn health<H: Host>() -> Response<H> {
    Response::bytes(200, "application/json", br#"{"status":"ok"}"#.to_vec())
}

/// Names the server, for whoever opens its address in a browser.
pub(crate) fn root<H: Host>() -> Response<H> {
    const PAGE: &str = concat!(r#"{"server":"larder","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    Response::bytes(200, "application/json", PAGE.as_bytes().to_vec())
}
