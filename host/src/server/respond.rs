//! The path of a request: from hyper to the guest and back.

use std::{convert::Infallible, sync::Arc};

use http::{Method, StatusCode, request::Parts};
use hyper::body::Incoming;

use super::{Bounds, ServerSettings, admission::Admission, origin::origin, peer::Peer};
use crate::{
    engine::Guest,
    message::{
        Client, ClientGuard, Request, RequestBody, RequestRecord, Response, error_response, unavailable,
    },
    services::Services,
};

/// Most header fields of a request. Over HTTP/1 hyper reads no more.
const MAX_FIELDS: usize = 100;

/// Answers the requests of one thread.
pub(super) struct Responder {
    guest: Guest,
    admission: Admission,
    services: Arc<Services>,
    settings: Arc<ServerSettings>,
}

impl Responder {
    pub(super) fn new(
        guest: Guest,
        admission: Admission,
        services: Arc<Services>,
        settings: Arc<ServerSettings>,
    ) -> Self {
        Self { guest, admission, services, settings }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.settings.bounds
    }

    /// What is known of a new connection.
    pub(super) fn client(&self) -> Arc<Client> {
        self.admission.client()
    }

    /// Answers one request of this connection, whatever it is.
    pub(super) async fn respond(
        &self,
        client: &Arc<Client>,
        peer: Peer,
        request: http::Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let (head, body) = request.into_parts();
        let bodiless = head.method == Method::HEAD;
        let id = uuid::Uuid::new_v4().hyphenated().to_string();
        let address = peer.client(&head.headers, &self.settings.trusted_proxies);
        let record = Arc::new(RequestRecord::new(id, address, &head.method, head.uri.path(), &head.headers));
        let body = RequestBody::from_wire(body, &head, record.clone(), self.settings.bounds.idle);
        let response = self.dispatch(client, peer, head, body, &record).await;
        record.set_response(&response, bodiless);
        Ok(response.map(|body| body.recorded(record)))
    }

    async fn dispatch(
        &self,
        client: &Arc<Client>,
        peer: Peer,
        head: Parts,
        body: RequestBody,
        record: &Arc<RequestRecord>,
    ) -> Response {
        let bad = |why| error_response(StatusCode::BAD_REQUEST, "malformed", why, &record.id);
        if head_bytes(&head) > self.settings.bounds.header_bytes || head.headers.len() > MAX_FIELDS {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return error_response(
                status,
                "invalid_argument",
                "the head of the request is too large",
                &record.id,
            );
        }
        if head.method == Method::CONNECT {
            return bad("CONNECT is not supported");
        }
        if !head.uri.path().starts_with('/') {
            return bad("the request's target is not a path");
        }
        let Some(origin) = origin(self.settings.base_url.as_deref(), &head, &peer) else {
            return bad("the request has no usable Host field");
        };
        // Dropped when the client goes, for then this future is, too.
        let (_present, client_gone) = ClientGuard::new();
        let ticket = match self.admission.admit(client, &head).await {
            Ok(ticket) => ticket,
            Err(full) => return unavailable(&full.to_string(), &record.id),
        };
        let received_ms = self.services.clock.now_ms();
        let (head, record) = (Arc::new(head), record.clone());
        self.guest
            .handle(Request { origin, received_ms, head, body, record, client: client_gone, ticket })
            .await
    }
}

/// Returns how long a head is on the wire, about.
pub(super) fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    // `: ` and the end of the line.
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + fields.sum::<usize>()
}
