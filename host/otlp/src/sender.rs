//! One message to the collector: with further attempts where the standard wants them, and warnings that do not repeat.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsServiceResponse, trace::v1::ExportTraceServiceResponse,
};
use prost::Message;
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::exporter::{Post, Reporter, Signal, Target};

/// Attempts at one message, while the server runs.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt. It doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest pause that a collector can ask for: what comes meanwhile gathers.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Most characters of a collector's explanation that are logged.
const MAX_EXPLANATION: usize = 200;

/// Sends the messages of one signal, one after the other.
pub(crate) struct Sender<'a> {
    signal: Signal,
    post: &'a dyn Post,
    target: &'a Target,
    stopped: watch::Receiver<bool>,
    reporter: &'a dyn Reporter,
    /// Whether the last message failed: that was logged.
    is_failing: bool,
    /// Whether some of the last message was rejected: that was logged, too.
    is_rejecting: bool,
    /// Until when the collector wants to be left alone.
    not_before: Option<Instant>,
}

/// Why a message was not taken.
struct Failure {
    reason: String,
    may_pass: bool,
}

/// What a collector did not take of a message that it took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rejected {
    count: u64,
    explanation: String,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(
        signal: Signal,
        post: &'a dyn Post,
        target: &'a Target,
        stopped: watch::Receiver<bool>,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let (is_failing, is_rejecting, not_before) = (false, false, None);
        Self { signal, post, target, stopped, reporter, is_failing, is_rejecting, not_before }
    }

    /// Sends a message. Returns how many spans or points of it the collector rejected; `None` if it did not take the
    /// message at all.
    pub(crate) async fn send(&mut self, message: Bytes) -> Option<u64> {
        let sent = self.attempts(message).await;
        self.reporter.exported(self.signal, sent.is_ok());
        let what = self.signal.word();
        let collector = self.target.url.authority().map_or("", |host| host.as_str());
        match &sent {
            Ok(_) if self.is_failing => tracing::info!(collector, "{what} can be exported again"),
            Err(failure) if !self.is_failing => {
                tracing::warn!(
                    collector,
                    error = failure.reason,
                    "cannot export {what}; no further warning follows"
                );
            }
            Ok(_) | Err(_) => {}
        }
        self.is_failing = sent.is_err();
        let Rejected { count, explanation } = sent.ok()?;
        let is_rejecting = count > 0 || !explanation.is_empty();
        if is_rejecting && !self.is_rejecting {
            tracing::warn!(
                collector,
                rejected = count,
                explanation,
                "the collector did not take all {what}; no further warning follows"
            );
        }
        self.is_rejecting = is_rejecting;
        Some(count)
    }

    async fn attempts(&mut self, message: Bytes) -> Result<Rejected, Failure> {
        let mut pause = PAUSE;
        // A collector that was dead a moment ago is not worth the wait: what comes next would gather.
        let most = if self.is_failing { 1 } else { ATTEMPTS };
        for _ in 1..most {
            match self.attempt(message.clone()).await {
                Err(failure) if failure.may_pass && !*self.stopped.borrow() => {}
                over => return over,
            }
            self.rest(Instant::now() + pause).await;
            pause *= 2;
        }
        self.attempt(message).await
    }

    /// Waits until then, or until the stop.
    async fn rest(&mut self, until: Instant) {
        select! {
            () = sleep_until(until) => {}
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn attempt(&mut self, message: Bytes) -> Result<Rejected, Failure> {
        if let Some(until) = self.not_before.take() {
            self.rest(until).await;
        }
        let limit = self.target.timeout;
        let failed = |reason, may_pass| Err(Failure { reason, may_pass });
        match timeout(limit, self.post.post(self.request(message))).await {
            Err(_) => failed(format!("no response within {} ms", limit.as_millis()), true),
            Ok(Err(error)) => failed(error.0, true),
            Ok(Ok(response)) if response.status().is_success() => {
                Ok(rejected(self.signal, response.into_body()))
            }
            Ok(Ok(response)) => {
                let status = response.status();
                let may_pass = is_retryable(status);
                self.not_before = pause_asked_for(response.headers())
                    .filter(|_| may_pass)
                    .map(|pause| Instant::now() + pause);
                failed(format!("the collector responded with {status}"), may_pass)
            }
        }
    }

    fn request(&self, message: Bytes) -> Request<Bytes> {
        let mut request = Request::new(message);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.url.clone();
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(self.target.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        request
    }
}

/// Reads `Retry-After` in seconds, which collectors send. A date is not read: the growing pauses hold.
fn pause_asked_for(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

/// Reads what was rejected from the response. One that cannot be read says nothing.
fn rejected(signal: Signal, body: Bytes) -> Rejected {
    let partial = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
    };
    let Some((count, explanation)) = partial else { return Rejected::default() };
    Rejected {
        count: count.try_into().unwrap_or_default(),
        explanation: explanation.chars().filter(|each| !each.is_control()).take(MAX_EXPLANATION).collect(),
    }
}

const AGENT: &str = concat!("larder/", env!("CARGO_PKG_VERSION"));

/// Those that the standard names.
fn is_retryable(status: StatusCode) -> bool {
    [429, 502, 503, 504].contains(&status.as_u16())
}

#[cfg(test)]
mod tests;
