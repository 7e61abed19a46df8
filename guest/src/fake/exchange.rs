//! Requests to the fake, and its responses.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{FakeHost, NOW_MS};
use crate::ports::{Outcome, Payload, Request};
use crate::{DefaultPolicy, Policy};

/// A request's body and credential.
#[derive(Debug, Default)]
pub struct FakeIncomingRequest {
    pub(super) token: Option<String>,
    /// `None` once it has been taken.
    pub(super) body: RefCell<Option<Vec<u8>>>,
    /// The client stops before the end of the body.
    pub(super) cut_short: bool,
}

/// A response of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain")]
pub struct FakeUpstream {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A builder of a request.
#[derive(Debug)]
pub struct FakeRequest {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    incoming: FakeIncomingRequest,
    received_ms: u64,
    origin: String,
}

/// A response with its body in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeResponse {
    /// The status, of the upstream if the request was forwarded.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body (also for a `HEAD`, for which a server sends none).
    pub body: Vec<u8>,
    /// The outcome in the log line.
    pub outcome: Outcome,
}

impl FakeRequest {
    /// Returns a request for a path, a path with a query, or a URL (its origin is ignored).
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let target =
            target.split_once("://").map_or(target, |(_, rest)| &rest[rest.find('/').unwrap_or(0)..]);
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            incoming: FakeIncomingRequest {
                body: RefCell::new(Some(Vec::new())),
                ..FakeIncomingRequest::default()
            },
            received_ms: NOW_MS,
            origin: "http://cache.example".to_owned(),
        }
    }

    /// Returns a call of the cache service in JSON.
    #[must_use]
    pub fn call(method: &str, token: &str, message: &str) -> Self {
        let path = format!("/twirp/github.actions.results.api.v1.CacheService/{method}");
        Self::new("POST", &path).token(token).header("content-type", "application/json").body(message)
    }

    /// Sets the bearer token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.incoming.token = Some(token.to_owned());
        self
    }

    /// Adds a header field (name in lower case).
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body, and announces its length.
    #[must_use]
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let request = self.header("content-length", &body.len().to_string());
        request.incoming.body.replace(Some(body));
        request
    }

    /// Sets the body, without announcing its length.
    #[must_use]
    pub fn chunked(self, body: impl AsRef<[u8]>) -> Self {
        self.incoming.body.replace(Some(body.as_ref().to_vec()));
        self
    }

    /// Stops before the end of the body.
    #[must_use]
    pub fn cut_short(mut self) -> Self {
        self.incoming.cut_short = true;
        self
    }

    /// Sets the arrival time.
    #[must_use]
    pub fn at(mut self, received_ms: u64) -> Self {
        self.received_ms = received_ms;
        self
    }

    /// Sets the origin.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Self {
        origin.clone_into(&mut self.origin);
        self
    }
}

impl FakeResponse {
    /// Returns the value of the first header field with this name, or an empty string.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON, or null.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns a string member of the JSON body, or an empty string.
    #[must_use]
    pub fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_default().to_owned()
    }
}

impl FakeHost {
    /// Handles a request with Larder's own policy.
    pub fn send(&self, request: FakeRequest) -> FakeResponse {
        self.send_to(&DefaultPolicy, request)
    }

    /// Handles a request with this policy.
    pub fn send_to<P: Policy>(&self, policy: &P, request: FakeRequest) -> FakeResponse {
        self.requests.set(self.requests.get() + 1);
        self.now_ms.set(request.received_ms);
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (request.target, None),
        };
        let request = Request {
            id: format!("00000000-0000-4000-8000-{:012}", self.requests.get()),
            received_ms: request.received_ms,
            method: request.method,
            path,
            query,
            headers: request.headers,
            origin: request.origin,
            rules: self.asked_rules(),
            incoming: request.incoming,
            outcome: RefCell::default(),
        };
        let response = block_on(crate::handler::answer(policy, self, request));
        let (status, body) = match response.payload {
            Payload::Empty => (response.status, Vec::new()),
            Payload::Bytes(body) | Payload::Object(body) => (response.status, body),
            Payload::Upstream(response) => (response.status, response.body),
        };
        FakeResponse {
            status,
            headers: response.headers,
            body,
            outcome: response.outcome.unwrap_or_default(),
        }
    }
}

/// Polls a future of the fake to completion.
///
/// # Panics
/// If it is pending: the fake never waits.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future of the fake host is pending"),
    }
}
