//! One message to the collector: with further attempts where the standard wants them, and warnings that do not repeat.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use tokio::{
    select,
    sync::watch,
    time::{sleep, timeout},
};

use crate::exporter::{Post, Reporter, Signal};

/// Attempts at one message, while the server runs.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt. It doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends the messages of one signal, one after the other.
pub(crate) struct Sender<'a> {
    signal: Signal,
    post: &'a dyn Post,
    headers: &'a HeaderMap,
    timeout: Duration,
    stopped: watch::Receiver<bool>,
    reporter: &'a dyn Reporter,
    /// Whether the last message failed: that was logged.
    is_failing: bool,
}

/// Why a message was not taken.
struct Failure {
    reason: String,
    may_pass: bool,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(
        signal: Signal,
        post: &'a dyn Post,
        headers: &'a HeaderMap,
        timeout: Duration,
        stopped: watch::Receiver<bool>,
        reporter: &'a dyn Reporter,
    ) -> Self {
        Self { signal, post, headers, timeout, stopped, reporter, is_failing: false }
    }

    /// Sends a message; returns whether the collector took it.
    pub(crate) async fn send(&mut self, url: &Uri, message: Bytes) -> bool {
        let sent = self.attempts(url, message).await;
        self.reporter.exported(self.signal, sent.is_ok());
        let (what, collector) = (self.signal.word(), url.authority().map_or("", |host| host.as_str()));
        match &sent {
            Ok(()) if self.is_failing => tracing::info!(collector, "{what} can be exported again"),
            Err(failure) if !self.is_failing => {
                tracing::warn!(
                    collector,
                    error = failure.reason,
                    "cannot export {what}; no further warning follows"
                );
            }
            Ok(()) | Err(_) => {}
        }
        self.is_failing = sent.is_err();
        sent.is_ok()
    }

    async fn attempts(&mut self, url: &Uri, message: Bytes) -> Result<(), Failure> {
        let mut pause = PAUSE;
        // A collector that was dead a moment ago is not worth the wait: what comes next would gather.
        let most = if self.is_failing { 1 } else { ATTEMPTS };
        for _ in 1..most {
            match self.attempt(url, message.clone()).await {
                Err(failure) if failure.may_pass && !*self.stopped.borrow() => {}
                over => return over,
            }
            select! {
                () = sleep(pause) => {}
                _ = self.stopped.wait_for(|stopped| *stopped) => {}
            }
            pause *= 2;
        }
        self.attempt(url, message).await
    }

    async fn attempt(&self, url: &Uri, message: Bytes) -> Result<(), Failure> {
        let mut request = Request::new(message);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().extend(self.headers.clone());
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let failed = |reason, may_pass| Err(Failure { reason, may_pass });
        match timeout(self.timeout, self.post.post(request)).await {
            Err(_) => failed(format!("no response within {} ms", self.timeout.as_millis()), true),
            Ok(Err(error)) => failed(error.0, true),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => {
                let status = response.status();
                failed(format!("the collector responded with {status}"), is_retryable(status))
            }
        }
    }
}

const AGENT: &str = concat!("larder/", env!("CARGO_PKG_VERSION"));

/// Those that the standard names.
fn is_retryable(status: StatusCode) -> bool {
    [429, 502, 503, 504].contains(&status.as_u16())
}
