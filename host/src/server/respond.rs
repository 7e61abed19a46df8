//! The path of a request: from hyper to the guest and back.

use std::{convert::Infallible, sync::Arc};

use http::{Method, StatusCode, request::Parts};
use hyper::body::Incoming;

use super::{Bounds, ServerSettings, origin::origin};
use crate::{
    engine::Guest,
    message::{Answer, Present, Request, RequestBody, RequestRecord, refusal},
    services::Services,
};

/// Answers the requests of one thread.
pub(super) struct Responder {
    guest: Guest,
    services: Arc<Services>,
    settings: Arc<ServerSettings>,
}

impl Responder {
    pub(super) fn new(guest: Guest, services: Arc<Services>, settings: Arc<ServerSettings>) -> Self {
        Self { guest, services, settings }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.settings.bounds
    }

    /// Answers one request, whatever it is.
    pub(super) async fn respond(&self, request: http::Request<Incoming>) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        let bodiless = head.method == Method::HEAD;
        let id = uuid::Uuid::new_v4().hyphenated().to_string();
        let record = Arc::new(RequestRecord::new(id, &head.method, head.uri.path(), &head.headers));
        let body = RequestBody::from_wire(body, &head, record.clone(), self.settings.bounds.idle);
        let bad = |why| refusal(StatusCode::BAD_REQUEST, "malformed", why, &record.id);
        let answer = match origin(self.settings.base_url.as_deref(), &head) {
            _ if head_bytes(&head) > self.settings.bounds.header_bytes => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                refusal(status, "invalid_argument", "the head of the request is too large", &record.id)
            }
            _ if !head.uri.path().starts_with('/') => bad("the request's target is not a path"),
            None => bad("the request has no usable Host field"),
            Some(origin) => {
                // Dropped when the client goes, for then this future is, too.
                let (_present, client) = Present::new();
                let received_ms = self.services.clock.now_ms();
                let (head, record) = (Arc::new(head), record.clone());
                self.guest.handle(Request { origin, received_ms, head, body, record, client }).await
            }
        };
        record.answered(answer.status().as_u16(), bodiless);
        Ok(answer.map(|body| body.recorded(record)))
    }
}

/// Returns how long a head is on the wire, about.
fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    // `: ` and the end of the line.
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + fields.sum::<usize>()
}
