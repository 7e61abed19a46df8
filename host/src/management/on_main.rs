//! The management API on the main listener, where a key is configured: as the known server has it.

use axum::{Router, body::Body};
use http::{StatusCode, request::Parts};
use http_body_util::BodyExt as _;
use larder_management::{Origin, is_management_path};
use tower_service::Service as _;

use crate::message::{Outcome, Outgoing, RequestBody, RequestRecord, Response, unavailable};

/// The API for requests of the main listener.
#[derive(Clone)]
pub(crate) struct ManagementOnMain(Router);

impl ManagementOnMain {
    pub(crate) fn new(router: Router) -> Self {
        Self(router)
    }

    /// Returns whether a request is the API's.
    pub(crate) fn has(&self, head: &Parts) -> bool {
        is_management_path(head.uri.path())
    }
}

/// Responds to a request.
pub(crate) async fn respond(
    management: &ManagementOnMain,
    mut head: Parts,
    origin: String,
    body: RequestBody,
    record: &RequestRecord,
) -> Response {
    head.extensions.insert(Origin(origin));
    let request = http::Request::from_parts(head, Body::new(body));
    let Ok(response) = management.0.clone().call(request).await;
    let (head, body) = response.into_parts();
    // From memory: it cannot break off.
    let Ok(body) = body.collect().await else {
        return unavailable("the response broke off", record.id());
    };
    let mut response = http::Response::from_parts(head, Outgoing::full(body.to_bytes()));
    let kind = if response.status() < StatusCode::BAD_REQUEST { "managed" } else { "refused" };
    response.extensions_mut().insert(Outcome { kind, ..Outcome::default() });
    response
}
