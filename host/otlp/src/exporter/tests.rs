#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;
use parking_lot::Mutex;

use super::*;
use crate::RequestSpan;

/// How long a test waits for a thread at most.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Counts {
    dropped: AtomicU64,
    exports: Mutex<Vec<(Signal, bool)>>,
}

#[async_trait]
impl Reporter for Counts {
    async fn metrics(&self) -> String {
        "# TYPE a gauge\na 1\n".to_owned()
    }

    fn exported(&self, signal: Signal, is_ok: bool) {
        self.exports.lock().push((signal, is_ok));
    }

    fn dropped(&self, spans: u64) {
        self.dropped.fetch_add(spans, Relaxed);
    }
}

/// A collector that answers with this, or not at all.
struct Fake(Option<StatusCode>, Arc<Mutex<Vec<Request<Bytes>>>>);

#[async_trait]
impl Post for Fake {
    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, PostError> {
        self.1.lock().push(request);
        match self.0 {
            Some(status) => Ok(Response::builder().status(status).body(Bytes::new()).unwrap()),
            None => std::future::pending().await,
        }
    }
}

type Sent = Arc<Mutex<Vec<Request<Bytes>>>>;

fn start(status: Option<StatusCode>) -> (Exporter, Arc<Counts>, Sent) {
    let target = |path: &str| {
        let url = format!("http://collector:4318/v1/{path}").parse().unwrap();
        let headers = HeaderMap::from_iter([("api-key".parse().unwrap(), "secret".parse().unwrap())]);
        Some(Target { url, headers, timeout: Duration::from_secs(3600) })
    };
    let settings = Settings {
        traces: target("traces"),
        metrics: target("metrics"),
        resource: vec![Attribute::text("service.name", "larder")],
        sampler: Sampler::named("always_on", 1.0).unwrap(),
        metrics_every: Duration::from_secs(3600),
        clock: Clock::manual(1_000).0,
    };
    let (counts, sent) = (Arc::new(Counts::default()), Sent::default());
    let exporter = Exporter::start(settings, Fake(status, sent.clone()), counts.clone()).unwrap();
    (exporter, counts, sent)
}

fn trace(exporter: &Exporter) {
    let id = "0af76519-16cd-43dd-8448-eb211c80319c";
    let trace = exporter.tracer().unwrap().begin(&HeaderMap::new(), id).unwrap();
    let guest = trace.begin_guest_call("handle");
    let mut call = trace.begin_call("index.find");
    call.fail("Unavailable".to_owned());
    drop(call);
    drop(guest);
    drop(trace.begin_call("after"));
    trace.end(RequestSpan { name: "POST lookup".to_owned(), ..RequestSpan::default() });
}

#[test]
fn what_waits_is_sent_at_the_stop_with_parents_and_headers() {
    let (exporter, counts, sent) = start(Some(StatusCode::OK));
    trace(&exporter);
    assert!(exporter.stop(PATIENCE));
    let sent = sent.lock();
    let traces = sent.iter().find(|request| request.uri().path() == "/v1/traces").unwrap();
    assert_eq!(traces.headers()["api-key"], "secret");
    assert_eq!(traces.headers()["content-type"], "application/x-protobuf");
    let message = ExportTraceServiceRequest::decode(traces.body().clone()).unwrap();
    let resource = message.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    let spans = &message.resource_spans[0].scope_spans[0].spans;
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (request, guest, call, after) = (of("POST lookup"), of("handle"), of("index.find"), of("after"));
    assert!(request.parent_span_id.is_empty());
    assert_eq!(request.trace_id[..4], [0x0a, 0xf7, 0x65, 0x19]);
    assert_eq!([&guest.parent_span_id, &after.parent_span_id], [&request.span_id, &request.span_id]);
    assert_eq!(call.parent_span_id, guest.span_id);
    assert_eq!((call.status.as_ref().unwrap().code, guest.status.is_none()), (2, true));
    assert!(
        request.start_time_unix_nano == 1_000_000_000
            && call.end_time_unix_nano <= request.end_time_unix_nano
    );
    assert!(sent.iter().any(|request| request.uri().path() == "/v1/metrics"));
    assert_eq!(counts.dropped.load(Relaxed), 0);
}

#[test]
fn more_than_the_queue_holds_is_dropped_and_counted() {
    // It never answers, so that nothing leaves the queue after the first batch.
    let (exporter, counts, sent) = start(None);
    for _ in 0..10_000 {
        trace(&exporter);
    }
    let dropped = counts.dropped.load(Relaxed);
    assert!(dropped > 0 && dropped.is_multiple_of(4), "{dropped}");
    assert!(!exporter.stop(Duration::from_millis(1)), "a collector that does not answer holds nobody up");
    drop(sent);
}

#[test]
fn what_a_collector_refuses_is_dropped_without_another_attempt() {
    let (exporter, counts, sent) = start(Some(StatusCode::UNAUTHORIZED));
    trace(&exporter);
    assert!(exporter.stop(PATIENCE));
    assert_eq!((counts.dropped.load(Relaxed), sent.lock().len()), (4, 2));
    assert!(counts.exports.lock().contains(&(Signal::Traces, false)));
}
