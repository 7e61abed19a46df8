//! A request's span at a collector of OpenTelemetry.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::HeaderMap;
use larder_otlp::{Attribute, RequestSpan, Tracer};

use super::{Outcome, RequestRecord};

/// Methods that name a span. Others are the client's words.
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

impl RequestRecord {
    /// Begins the request's trace, if it is sampled.
    #[must_use]
    pub(crate) fn traced_by(mut self, tracer: Option<&Arc<Tracer>>, headers: &HeaderMap) -> Self {
        if let Some(tracer) = tracer {
            let trace = tracer.begin(headers, self.id());
            self.scope.set_trace(trace);
        }
        self
    }

    /// Ends the request's trace, if it has one.
    pub(super) fn end_trace(&self, outcome: &Outcome) {
        if let Some(trace) = self.scope.trace() {
            trace.end(self.span(outcome));
        }
    }

    fn span(&self, outcome: &Outcome) -> RequestSpan {
        let method = METHODS.iter().find(|known| **known == self.method.as_str()).copied();
        let route = larder_metrics::route(self.method.as_str(), &self.path);
        let status = self.status.load(Relaxed);
        let is_cut_off = self.broken.load(Relaxed) || !self.complete.load(Relaxed);
        let error = match status {
            500.. => Some(status.to_string()),
            _ if is_cut_off => Some("cut_off".to_owned()),
            _ => None,
        };
        let tenant = self.tenant.get().map(|tenant| tenant.name.as_str());
        let texts = [
            ("http.request.method", Some(method.unwrap_or("_OTHER"))),
            ("http.route", Some(route)),
            ("user_agent.original", Some(self.agent.as_str()).filter(|agent| !agent.is_empty())),
            ("error.type", error.as_deref()),
            ("larder.request.id", Some(self.id())),
            ("larder.tenant", tenant),
            ("larder.outcome", Some(outcome.kind).filter(|kind| !kind.is_empty())),
            ("larder.repository", self.repository(outcome)),
            ("larder.scope", outcome.scope.as_deref()),
            ("larder.key", outcome.key.as_deref()),
            ("larder.matched_key", outcome.matched_key.as_deref()),
            ("larder.miss.cause", outcome.miss),
        ];
        let numbers = [
            ("http.response.status_code", Some(u64::from(status)).filter(|status| *status > 0)),
            ("http.request.body.size", Some(self.bytes_in.load(Relaxed))),
            ("http.response.body.size", Some(self.bytes_out.load(Relaxed))),
            ("larder.entry", outcome.entry),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some(Attribute::text(name, value?)));
        let numbers = numbers.into_iter().filter_map(|(name, value)| Some(Attribute::number(name, value?)));
        let client = Attribute::text("client.address", self.client.to_string());
        RequestSpan {
            name: format!("{} {route}", method.unwrap_or("HTTP")),
            attributes: texts.chain(numbers).chain([client]).collect(),
            is_failed: error.is_some(),
        }
    }
}
