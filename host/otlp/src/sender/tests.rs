#![expect(clippy::unwrap_used, reason = "tests")]

use std::pin::pin;

use async_trait::async_trait;
use http::Response;
use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsPartialSuccess, trace::v1::ExportTracePartialSuccess,
};
use parking_lot::Mutex;

use super::*;
use crate::exporter::PostError;

/// A collector that wants a pause of half a minute.
#[derive(Default)]
struct Busy(Mutex<u32>);

#[async_trait]
impl Post for Busy {
    async fn post(&self, _request: Request<Bytes>) -> Result<Response<Bytes>, PostError> {
        *self.0.lock() += 1;
        Ok(Response::builder().status(503).header("retry-after", "30").body(Bytes::new()).unwrap())
    }
}

struct Nobody;

#[async_trait]
impl Reporter for Nobody {
    async fn metrics(&self) -> String {
        String::new()
    }

    fn exported(&self, _signal: Signal, _is_ok: bool) {}

    fn dropped(&self, _spans: u64) {}
}

/// Polls a message that is sent until it waits for something.
async fn waits(sent: impl Future<Output = Option<u64>>) {
    let mut sent = pin!(sent);
    for _ in 0..10 {
        select! {
            biased;
            sent = sent.as_mut() => panic!("{sent:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_collector_that_wants_a_pause_is_left_alone_until_the_stop() {
    let busy = Busy::default();
    let target = Target {
        url: "http://collector:4318/v1/traces".parse().unwrap(),
        headers: HeaderMap::new(),
        timeout: Duration::from_secs(3600),
    };
    let (stop, stopped) = watch::channel(false);
    let mut sender = Sender::new(Signal::Traces, &busy, &target, stopped, &Nobody);
    waits(sender.send(Bytes::new())).await;
    assert_eq!(*busy.0.lock(), 1);
    assert!(sender.not_before.unwrap() > Instant::now(), "longer than the first pause of its own");
    // Nor does the next message go out earlier.
    waits(sender.send(Bytes::new())).await;
    assert_eq!(*busy.0.lock(), 1);
    sender.not_before = Some(Instant::now() + Duration::from_secs(3600));
    stop.send(true).unwrap();
    assert_eq!(sender.send(Bytes::new()).await, None);
    assert_eq!(*busy.0.lock(), 2, "the last attempt does not wait");
}

#[test]
fn a_pause_is_in_seconds_and_bounded() {
    let asked = |text: &'static str| {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
        pause_asked_for(&headers).map(|pause| pause.as_secs())
    };
    assert_eq!((asked("7"), asked(" 0 "), asked("99999999")), (Some(7), Some(0), Some(60)));
    for text in ["Fri, 27 Nov 2026 14:00:00 GMT", "-1", "1.5", ""] {
        assert_eq!(asked(text), None, "{text}");
    }
    assert_eq!(pause_asked_for(&HeaderMap::new()), None);
}

#[test]
fn what_is_rejected_is_read_and_its_explanation_is_bounded() {
    let error_message = format!("a\nb{}", "c".repeat(1000));
    let traces = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess { rejected_spans: 3, error_message }),
    };
    let of_traces = rejected(Signal::Traces, traces.encode_to_vec().into());
    assert_eq!((of_traces.count, of_traces.explanation.len()), (3, MAX_EXPLANATION));
    assert!(of_traces.explanation.starts_with("abc"));
    let metrics = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: -1,
            error_message: String::new(),
        }),
    };
    for body in [metrics.encode_to_vec().into(), Bytes::new(), Bytes::from_static(b"nonsense")] {
        assert_eq!(rejected(Signal::Metrics, body), Rejected::default());
    }
}
