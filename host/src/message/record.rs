//! The request log: one line for each request, when the last of its bytes is gone.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, Method, header::USER_AGENT};

use larder_common::{
    TenantName,
    event::{Event, EventKind},
};
use larder_index::Departed;
use larder_metrics::{FinishedRequest, Metrics};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Response,
    outcome::{Outcome, cut},
};
use crate::{
    auth::Claims,
    history::{Counted, Ghost, History},
    telemetry::RequestScope,
    trace::{Noted, Tracer},
};

/// What the log line of a request will hold. Shared by all that handle the request; written when
/// the last reference is dropped.
pub(crate) struct RequestRecord {
    /// The request, as every line of the log about it names it.
    pub scope: RequestScope,
    client: IpAddr,
    method: Method,
    path: String,
    agent: String,
    started: Instant,
    status: AtomicU16,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    bytes_direct: AtomicU64,
    complete: AtomicBool,
    broken: AtomicBool,
    claims: OnceLock<Arc<Claims>>,
    outcome: OnceLock<Outcome>,
    tenant: OnceLock<TenantRequest>,
    /// `None`: it is not counted.
    metrics: Option<Arc<Metrics>>,
    /// Whose history it is part of.
    history: OnceLock<Arc<History>>,
    /// What was evicted with the key that was looked up.
    ghosts: OnceLock<Vec<Ghost>>,
    pace: Pace,
    /// What its event goes to.
    traced: OnceLock<Traced>,
}

/// What the event of a request goes to.
struct Traced {
    tracer: Arc<Tracer>,
    received_ms: u64,
    /// `None` where nobody wants it, unless it fails.
    noted: Option<Box<Mutex<Noted>>>,
}

/// When the pieces of a response's body were sent, in microseconds since the head arrived. 0: not yet.
#[derive(Default)]
struct Pace {
    first: AtomicU64,
    latest: AtomicU64,
    longest_pause: AtomicU64,
}

impl Pace {
    fn note(&self, now: u64) {
        let now = now.max(1);
        let latest = self.latest.swap(now, Relaxed);
        if latest == 0 {
            self.first.store(now, Relaxed);
        } else {
            self.longest_pause.fetch_max(now.saturating_sub(latest), Relaxed);
        }
    }
}

/// Most evicted entries of a key that a request remembers: the latest.
const MAX_GHOSTS: usize = 8;

/// A request of one of several tenants.
struct TenantRequest {
    name: TenantName,
    /// Its place among the tenant's requests in flight.
    _place: OwnedSemaphorePermit,
}

/// The beginnings of the cache service's paths. Clients append them to a base URL, which holds a
/// secret on some platforms (act). So the part before them is not logged.
const SERVICES: [&str; 2] = ["/_apis/artifactcache/", "/twirp/"];

impl RequestRecord {
    /// Starts the record of a request. `id` is its UUID in lower case. The query is left out: it
    /// holds signatures.
    #[must_use]
    pub(crate) fn new(id: &str, client: IpAddr, method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            scope: RequestScope::new(id),
            client,
            method: method.clone(),
            path: loggable(path),
            agent: cut(agent).to_owned(),
            started: Instant::now(),
            status: AtomicU16::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            bytes_direct: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            claims: OnceLock::new(),
            outcome: OnceLock::new(),
            tenant: OnceLock::new(),
            metrics: None,
            history: OnceLock::new(),
            ghosts: OnceLock::new(),
            pace: Pace::default(),
            traced: OnceLock::new(),
        }
    }

    /// Counts the request when it is over.
    #[must_use]
    pub(crate) fn counted_by(mut self, metrics: &Arc<Metrics>) -> Self {
        self.metrics = metrics.is_enabled().then(|| metrics.clone());
        self
    }

    /// The request's id: a UUID in lower case.
    #[must_use]
    pub(crate) fn id(&self) -> &str {
        self.scope.id()
    }

    /// Records the response: its status, whether it is complete without a body (the response to a
    /// `HEAD`), and the outcome, where the server made the response without the guest.
    pub(crate) fn set_response(&self, response: &Response, bodiless: bool) {
        self.status.store(response.status().as_u16(), Relaxed);
        self.complete.fetch_or(bodiless, Relaxed);
        if let Some(outcome) = response.extensions().get::<Outcome>() {
            let _ = self.outcome.set(outcome.clone().bounded());
        }
    }

    /// Records whose request it is. Its place among the tenant's requests is held until the last
    /// byte of the response is gone.
    pub(crate) fn set_tenant(&self, name: &TenantName, place: OwnedSemaphorePermit) {
        let _ = self.tenant.set(TenantRequest { name: name.clone(), _place: place });
    }

    /// Returns the name of the tenant; `None` where there is but one.
    pub(crate) fn tenant_name(&self) -> Option<TenantName> {
        self.tenant.get().map(|tenant| tenant.name.clone())
    }

    /// Has an event made of the request, if anybody wants it, or it fails.
    pub(crate) fn set_tracer(&self, tracer: &Arc<Tracer>, received_ms: u64) {
        self.set_traced(tracer, received_ms, tracer.is_on().then(Box::default));
    }

    /// Has an event of the request kept among a tenant's last failures: it is refused before a guest is called.
    pub(crate) fn set_refused_by(&self, tracer: &Arc<Tracer>, received_ms: u64) {
        self.set_traced(tracer, received_ms, None);
    }

    fn set_traced(&self, tracer: &Arc<Tracer>, received_ms: u64, noted: Option<Box<Mutex<Noted>>>) {
        let _ = self.traced.set(Traced { tracer: tracer.clone(), received_ms, noted });
    }

    /// Records for the event what the host learns of the request.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Noted)) {
        if let Some(noted) = self.traced.get().and_then(|traced| traced.noted.as_ref()) {
            note(&mut noted.lock());
        }
    }

    /// Counts the request in a tenant's history, too, when it is over.
    pub(crate) fn set_history(&self, history: &Arc<History>) {
        let _ = self.history.set(Arc::clone(history));
    }

    /// Records what was deleted with the key that is looked up, as far as that was to make room.
    pub(crate) fn set_ghosts(&self, departed: &[Departed]) {
        let ghosts: Vec<Ghost> = departed.iter().filter_map(Ghost::of).take(MAX_GHOSTS).collect();
        if !ghosts.is_empty() {
            let _ = self.ghosts.set(ghosts);
        }
    }

    /// Records the claims of the request's token.
    pub(crate) fn set_claims(&self, claims: &Arc<Claims>) {
        let _ = self.claims.set(Arc::clone(claims));
    }

    /// The claims of the request's token, once it is verified.
    pub(crate) fn claims(&self) -> Option<&Arc<Claims>> {
        self.claims.get()
    }

    /// Records what became of the request. The first outcome counts.
    pub(crate) fn set_outcome(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome.bounded());
    }

    /// Returns whether the request was allowed, by a verified token or the signature of its URL. To
    /// be asked once there is a response.
    pub(crate) fn is_authorized(&self) -> bool {
        let of_blob = |outcome: &Outcome| outcome.upload.is_some() || outcome.entry.is_some();
        let is_success = (200..300).contains(&self.status.load(Relaxed));
        self.claims.get().is_some() || is_success && self.outcome.get().is_some_and(of_blob)
    }

    /// Counts bytes of the request's body.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    /// Records that the storage itself sends an entry of this length.
    pub(crate) fn sent_directly(&self, bytes: u64) {
        self.bytes_direct.store(bytes, Relaxed);
    }

    /// Counts bytes of the response's body.
    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
        if self.metrics.is_some() {
            self.pace.note(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// The repository: `owner/name`, or its id where the name is not known.
    fn repository<'a>(&'a self, outcome: &'a Outcome) -> Option<&'a str> {
        let claims = self.claims.get();
        let named = claims.and_then(|claims| claims.facts.get("repository"));
        named.or(outcome.repository.as_deref()).or_else(|| Some(claims?.repository.as_str()))
    }

    fn count(&self, metrics: &Metrics, outcome: &Outcome, duration: Duration) {
        let first_us = self.pace.first.load(Relaxed);
        metrics.count(&FinishedRequest {
            tenant: self.tenant.get().map(|tenant| tenant.name.as_str()),
            method: self.method.as_str(),
            path: &self.path,
            status: Some(self.status.load(Relaxed)).filter(|status| *status > 0),
            outcome: outcome.kind,
            repository: self.repository(outcome),
            key: outcome.key.as_deref(),
            matched_key: outcome.matched_key.as_deref(),
            miss: outcome.miss,
            reason: outcome.reason.as_deref(),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            bytes_direct: self.bytes_direct.load(Relaxed),
            duration,
            first_byte: (first_us > 0).then(|| Duration::from_micros(first_us)),
            longest_stall: Duration::from_micros(self.pace.longest_pause.load(Relaxed)),
        });
    }

    fn event(&self, traced: &Traced, outcome: &Outcome, duration: Duration) -> Event {
        let kind = match larder_metrics::route(self.method.as_str(), &self.path) {
            "lookup" => EventKind::Lookup,
            "reserve" => EventKind::Reserve,
            "upload" => EventKind::Upload,
            "finalize" => EventKind::Finalize,
            "download" => EventKind::Download,
            _ => EventKind::Other,
        };
        let claims = self.claims.get();
        let whole = Event {
            request: Some(self.id().to_owned()),
            status: Some(self.status.load(Relaxed)).filter(|status| *status > 0),
            outcome: outcome.kind.to_owned(),
            repository: outcome.repository.clone().unwrap_or_default(),
            scope: outcome.scope.clone(),
            key: outcome.key.clone(),
            version: outcome.version.clone(),
            matched_key: outcome.matched_key.clone(),
            entry: outcome.entry,
            cause: outcome.miss.map(str::to_owned),
            reason: outcome.reason.clone(),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            client: self.agent.split_whitespace().next().unwrap_or_default().to_owned(),
            ..Event::new(kind, traced.received_ms)
        };
        let with_claims = match claims {
            None => whole,
            Some(claims) => Event {
                repository: claims.repository.clone(),
                scopes: claims.scopes.iter().map(ToString::to_string).collect(),
                facts: claims.facts.clone(),
                ..whole
            },
        };
        match &traced.noted {
            Some(noted) => noted.lock().complete(with_claims),
            None => with_claims,
        }
    }

    fn count_in(&self, history: &History, metrics: Option<&Metrics>, outcome: &Outcome) {
        let claims = self.claims.get();
        let own = claims.map(|claims| claims.repository.as_str());
        let (Some(repository), Some(key)) = (outcome.repository.as_deref().or(own), &outcome.key) else {
            return;
        };
        let version = outcome.version.as_deref().unwrap_or_default();
        let of_version = |ghost: &&Ghost| ghost.version.starts_with(version);
        let ghosts = self.ghosts.get().filter(|_| outcome.miss == Some("evicted"));
        let request = Counted {
            outcome: outcome.kind,
            repository,
            key,
            entry: outcome.entry,
            workflow: claims.and_then(|claims| claims.facts.get("workflow")),
            bytes_out: self.bytes_out.load(Relaxed),
            ghost: ghosts.and_then(|ghosts| ghosts.iter().find(of_version)),
        };
        history.count(&request, metrics);
    }

    /// Records that the request's body broke off: the client reads no response, though the kernel
    /// may accept it.
    pub(crate) fn set_broken(&self) {
        self.broken.store(true, Relaxed);
    }

    /// Records that the whole body of the response was handed to the connection.
    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Relaxed);
    }
}

/// Returns a path for the log: without a base path, which may be a secret, and at most 256 bytes.
fn loggable(path: &str) -> String {
    let service = SERVICES.iter().filter_map(|service| path.find(service)).min();
    match service {
        Some(at) if at > 0 => format!("…{}", cut(&path[at..])),
        _ => cut(path).to_owned(),
    }
}

/// Microseconds as milliseconds: exact for 285 years.
fn milliseconds(microseconds: u128) -> f64 {
    microseconds as f64 / 1000.0
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let nothing = Outcome::default();
        let outcome = self.outcome.get().unwrap_or(&nothing);
        let duration = self.started.elapsed();
        if let Some(metrics) = &self.metrics {
            self.count(metrics, outcome, duration);
        }
        self.end_trace(outcome);
        if let Some(traced) = self.traced.get() {
            traced.tracer.end(traced.noted.is_some(), outcome.kind, || self.event(traced, outcome, duration));
        }
        if let Some(history) = self.history.get() {
            self.count_in(history, self.metrics.as_deref(), outcome);
        }
        // None where the client disconnected before the response began.
        let status = Some(*self.status.get_mut()).filter(|status| *status > 0);
        let token = self.claims.get().map(|claims| claims.repository.as_str());
        tracing::info!(
            target: "larder::request",
            parent: None,
            id = self.scope.id(),
            tenant = self.tenant.get().map(|tenant| tenant.name.as_str()),
            client = %self.client,
            method = self.method.as_str(),
            path = self.path,
            status,
            outcome = outcome.kind,
            repository = outcome.repository.as_deref().or(token),
            scope = outcome.scope,
            key = outcome.key,
            version = outcome.version,
            matched_key = outcome.matched_key,
            entry = outcome.entry,
            upload = outcome.upload,
            miss = outcome.miss,
            reason = outcome.reason,
            bytes_in = *self.bytes_in.get_mut(),
            bytes_out = *self.bytes_out.get_mut(),
            duration_ms = milliseconds(duration.as_micros()),
            cut_off = *self.broken.get_mut() || !*self.complete.get_mut(),
            agent = self.agent,
        );
    }
}

mod spans;

#[cfg(test)]
mod tests;
