//! The path of a request: from hyper to the guest and back.

use std::{io, sync::Arc};

use http::{HeaderValue, Method, StatusCode, Version, header::CONNECTION, request::Parts};
use ipnet::IpNet;
use larder_common::causes::chain;

use super::{
    ServerBounds, ServerSettings,
    admission::Admission,
    connections::ActiveRequest,
    handshake::Sites,
    health,
    origin::origin,
    peer::Peer,
    tenant_guests::TenantGuests,
    tenant_route::{Owner, Route, healthy, route},
};
use crate::{
    engine::{CurrentGuest, Guest},
    log_throttle::Throttle,
    management::{self, ManagementOnMain},
    message::{
        ClientGuard, ClientQuota, ReplayBody, Request, RequestBody, RequestContext, RequestRecord, Response,
        WireBody, error_response, unavailable,
    },
    registry::SiteTls,
    tenant::Tenant,
    webhook::{self, is_webhook},
};

/// Most header fields of a request. hyper reads no more over HTTP/1.
const MAX_FIELDS: usize = 100;

/// What the client reads when a limit is reached.
const BUSY: &str = "the server is busy; try again";
/// What the client reads when its tenant has as many requests in flight as it may have.
const TENANT_BUSY: &str = "too many requests of this tenant are in flight; try again";
/// What the client reads when its tenant has as many connections as it may have, all busy.
const TENANT_FULL: &str = "too many connections of this tenant are busy; try again";
/// What the client reads when the database fails at the first request of a tenant.
const NOT_OPEN: &str = "the tenant cannot be opened; try again";

/// A 503, which clients retry. The guest is not involved.
pub(super) fn busy() -> Response {
    unavailable(BUSY, &uuid::Uuid::new_v4().hyphenated().to_string())
}

/// Returns whether a connection may have requests to whom this is the TLS of.
fn allows(site: Option<&SiteTls>, peer: &Peer) -> bool {
    site.is_none_or(|site| site.allows(&peer.check))
}

/// A 503 after which the connection ends. HTTP/2 has no field that says so.
fn refuse_connection(version: Version, record: &RequestRecord) -> Response {
    let mut response = unavailable(TENANT_FULL, record.id());
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Keeps a request among the last failures of a tenant whose guest is not called for it.
fn refused(record: &RequestRecord, tenant: Option<&Arc<Tenant>>, response: Response) -> Response {
    if let Some(tenant) = tenant {
        record.set_refused_by(&tenant.trace, tenant.clock.now_ms());
    }
    response
}

/// A 400 for a client that speaks HTTP to a listener with TLS.
pub(super) fn needs_tls() -> Response {
    let id = uuid::Uuid::new_v4().hyphenated().to_string();
    let why = "this port speaks HTTPS: the URL must begin with https://";
    error_response(StatusCode::BAD_REQUEST, "malformed", why, &id)
}

/// The client's certificate, if any, was not checked for whose the request is.
const NEEDS_CERTIFICATE: BadHead = BadHead {
    status: StatusCode::MISDIRECTED_REQUEST,
    code: "permission_denied",
    why: "this host needs a client certificate: connect to it by its own name, and with one of its authority",
};

/// Responds to the requests of one thread.
pub(super) struct Responder {
    guest: Arc<CurrentGuest>,
    admission: Admission,
    tenant: Arc<Tenant>,
    settings: Arc<ServerSettings>,
    /// The guests of other tenants; `None` where there is one tenant.
    others: Option<TenantGuests>,
    /// The management API, where this listener has it.
    management: Option<ManagementOnMain>,
    failed_handshakes: Throttle,
}

impl Responder {
    /// `guest` and `tenant` are those of the tenant `default`.
    pub(super) fn new(
        guest: Arc<CurrentGuest>,
        admission: Admission,
        tenant: Arc<Tenant>,
        settings: Arc<ServerSettings>,
        others: Option<TenantGuests>,
    ) -> Self {
        let failed_handshakes = Throttle::default();
        Self { guest, admission, tenant, settings, others, management: None, failed_handshakes }
    }

    /// The certificates of connections.
    pub(super) fn sites(&self) -> Sites<'_> {
        Sites { own: self.settings.tls.as_ref(), registry: self.others.as_ref().map(TenantGuests::registry) }
    }

    /// Logs that a connection ended before its first request. With TLS that may be a client that does
    /// not trust the certificate, or has a wrong one itself.
    pub(super) fn log_failed_beginning(&self, error: &io::Error) {
        tracing::debug!(error = chain(error), "connection ended before a request");
        if error.kind() == io::ErrorKind::InvalidData {
            self.failed_handshakes
                .log(|times| tracing::info!(times, error = chain(error), "TLS handshakes have failed"));
        }
    }

    /// The same, with the management API.
    pub(super) fn with_management(self, management: Option<ManagementOnMain>) -> Self {
        Self { management, ..self }
    }

    pub(super) fn bounds(&self) -> &ServerBounds {
        &self.settings.bounds
    }

    pub(super) fn trusted_proxies(&self) -> &[IpNet] {
        &self.settings.trusted_proxies
    }

    /// The memory account of a new connection.
    pub(super) fn client(&self) -> Arc<ClientQuota> {
        self.admission.client()
    }

    /// Responds to one request of this connection. Never fails.
    ///
    /// The large parts of a request are taken apart before the future begins, which is moved more
    /// than once.
    pub(super) fn respond(
        &self,
        client: &Arc<ClientQuota>,
        active: &ActiveRequest,
        peer: Peer,
        request: http::Request<WireBody>,
    ) -> impl Future<Output = Response> {
        let (head, body) = request.into_parts();
        let head = Box::new(head);
        let bodiless = head.method == Method::HEAD;
        let mut id = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut id);
        let address = peer.client(&head.headers, &self.settings.trusted_proxies);
        let record = RequestRecord::new(id, address, &head.method, head.uri.path(), &head.headers);
        let record =
            record.counted_by(&self.tenant.metrics).traced_by(self.settings.tracer.as_ref(), &head.headers);
        let record = Arc::new(record);
        let body = RequestBody::from_wire(body, &head, record.clone(), self.settings.bounds.idle);
        async move {
            let response = self.dispatch(client, active, peer, head, body, &record).await;
            record.set_response(&response, bodiless);
            if record.is_authorized() {
                active.set_authorized();
            }
            response.map(|body| body.recorded(record))
        }
    }

    async fn dispatch(
        &self,
        client: &Arc<ClientQuota>,
        active: &ActiveRequest,
        peer: Peer,
        head: Box<Parts>,
        body: RequestBody,
        record: &Arc<RequestRecord>,
    ) -> Response {
        if let Some(response) = health::response(&self.settings.health, &head, record.id()) {
            return response;
        }
        if let Some(others) = &self.others {
            // Boxed: it would make the future of a server with one tenant larger.
            return Box::pin(self.dispatch_to_tenant(others, (client, active), peer, head, body, record))
                .await;
        }
        let base_url = self.settings.base_url.as_deref();
        let origin = match self.check_head(&head).and_then(|()| origin(base_url, &head, &peer).ok_or(NO_HOST))
        {
            Ok(origin) => origin,
            Err(bad) => return refused(record, Some(&self.tenant), bad.response(record)),
        };
        let guest = self.guest.get();
        let whose = (&*guest, &self.tenant);
        self.call(whose, client, head, origin, body, record).await
    }

    /// Determines whose request it is, and has that tenant's guest respond.
    async fn dispatch_to_tenant(
        &self,
        others: &TenantGuests,
        (client, active): (&Arc<ClientQuota>, &ActiveRequest),
        peer: Peer,
        mut head: Box<Parts>,
        body: RequestBody,
        record: &Arc<RequestRecord>,
    ) -> Response {
        let base_url = self.settings.base_url.as_deref();
        let route =
            self.check_head(&head).and_then(|()| route(others.registry(), base_url, &mut head, &peer));
        match route {
            Ok(Route { origin, whose: Owner::Default }) => {
                if !allows(self.settings.tls.as_ref(), &peer) {
                    return refused(record, Some(&self.tenant), NEEDS_CERTIFICATE.response(record));
                }
                active.unassign();
                let guest = self.guest.get();
                let whose = (&*guest, &self.tenant);
                self.call(whose, client, head, origin, body, record).await
            }
            Ok(Route { origin, whose: Owner::Tenant(registered) }) => {
                if !allows(registered.site.as_ref().or(self.settings.tls.as_ref()), &peer) {
                    return refused(record, registered.opened(), NEEDS_CERTIFICATE.response(record));
                }
                let limit =
                    registered.max_connections.unwrap_or(self.settings.bounds.connections.div_ceil(2));
                if !active.assign(&registered.name, limit) {
                    return refused(record, registered.opened(), refuse_connection(head.version, record));
                }
                let Some(place) = registered.admit() else {
                    return refused(record, registered.opened(), unavailable(TENANT_BUSY, record.id()));
                };
                record.set_tenant(&registered.name, place);
                let (guest, tenant) = match others.of(&registered).await {
                    Ok(both) => both,
                    Err(error) => {
                        tracing::error!(tenant = %registered.name, error = chain(&error), "a tenant cannot be opened");
                        return unavailable(NOT_OPEN, record.id());
                    }
                };
                self.call((&guest, &tenant), client, head, origin, body, record).await
            }
            Ok(Route { whose: Owner::Health, .. }) => healthy(record.id()),
            // It is nobody's: the operator's tenant has it.
            Err(bad) => refused(record, Some(&self.tenant), bad.response(record)),
        }
    }

    /// Has a guest respond.
    async fn call(
        &self,
        (guest, tenant): (&Guest, &Arc<Tenant>),
        client: &Arc<ClientQuota>,
        head: Box<Parts>,
        origin: String,
        body: RequestBody,
        record: &Arc<RequestRecord>,
    ) -> Response {
        // Dropped with this future when the client disconnects.
        let (_guard, client_gone) = ClientGuard::new();
        let quota = match self.admission.admit(client, &head).await {
            Ok(quota) => quota,
            Err(full) => {
                return refused(record, Some(tenant), unavailable(&full.to_string(), record.id()));
            }
        };
        if let Some(management) = self.management.as_ref().filter(|management| management.has(&head)) {
            return Box::pin(management::respond(management, *head, origin, body, record)).await;
        }
        if is_webhook(&head) {
            // Boxed: it would make the future of every request larger.
            return Box::pin(webhook::respond(tenant, &head, body, record)).await;
        }
        let received_ms = tenant.clock.now_ms();
        record.set_tracer(&tenant.trace, received_ms);
        record.set_history(&tenant.history);
        let context = RequestContext {
            origin,
            received_ms,
            head,
            record: record.clone(),
            client: client_gone,
            quota,
            replay_body: ReplayBody::default(),
        };
        guest.handle(Request { context: Arc::new(context), body }).await
    }

    /// Checks what the guest relies on.
    fn check_head(&self, head: &Parts) -> Result<(), BadHead> {
        if head_bytes(head) > self.settings.bounds.header_bytes || head.headers.len() > MAX_FIELDS {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(BadHead { status, code: "invalid_argument", why: "the request's head is too large" });
        }
        if head.method == Method::CONNECT {
            return Err(BadHead::malformed("CONNECT is not supported"));
        }
        if !head.uri.path().starts_with('/') {
            return Err(BadHead::malformed("the request's target is not a path"));
        }
        Ok(())
    }
}

/// Why a request does not reach the guest: the status of its response, and Twirp's code and
/// message.
pub(super) struct BadHead {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) why: &'static str,
}

/// There is no `Host`, or an unusable one.
pub(super) const NO_HOST: BadHead = BadHead::malformed("the request has no usable Host field");

impl BadHead {
    const fn malformed(why: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "malformed", why }
    }

    fn response(&self, record: &RequestRecord) -> Response {
        error_response(self.status, self.code, self.why, record.id())
    }
}

/// Returns the length of a head on the wire, approximately, in bytes.
pub(super) fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    // `: ` and the end of the line.
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + fields.sum::<usize>()
}
