//! The path of a request: from hyper to the guest and back.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use hyper::body::Incoming;

use super::{Bounds, ServerSettings, origin::origin};
use crate::{
    engine::Guest,
    message::{Answer, Outgoing, Request, RequestBody, RequestRecord},
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
        let answer = match origin(self.settings.base_url.as_deref(), &head) {
            _ if !head.uri.path().starts_with('/') => refusal("the request's target is not a path"),
            None => refusal("the request has no usable Host field"),
            Some(origin) => {
                let received_ms = self.services.clock.now_ms();
                let request =
                    Request { origin, received_ms, head: Arc::new(head), body, record: record.clone() };
                self.guest.handle(request).await
            }
        };
        record.answered(answer.status().as_u16(), bodiless);
        Ok(answer.map(|body| body.recorded(record)))
    }
}

/// The answer to what is not even a request.
fn refusal(why: &str) -> Answer {
    let body = serde_json::json!({ "code": "malformed", "msg": why }).to_string();
    let mut answer = Answer::new(Outgoing::full(body));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
