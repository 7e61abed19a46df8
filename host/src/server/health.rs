//! `/livez` and `/readyz`: answered by the host, before any guest, at every host name.

use http::{Method, StatusCode, request::Parts};
use larder_metrics::Health;

use crate::message::{Response, json_response};

/// Returns the response to a question for the health of the server; `None` to any other request.
pub(super) fn response(health: &Health, head: &Parts, id: &str) -> Option<Response> {
    let path = head.uri.path();
    // Of almost all requests that is known by the length.
    let asks_for_life = path == "/livez";
    if !asks_for_life && path != "/readyz" || head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    if asks_for_life {
        return Some(json_response(StatusCode::OK, Health::LIVE.to_owned(), id));
    }
    let readiness = health.readiness();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Some(json_response(status, readiness.json(), id))
}
