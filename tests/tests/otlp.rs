//! Traces and metrics at a collector of OpenTelemetry.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use larder_tests::{Job, SECRET, TestServer, token};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::ExportMetricsServiceRequest,
        trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
    trace::v1::Span,
};
use parking_lot::Mutex;
use prost::Message;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    url: String,
    got: Got,
    /// What each request is answered with.
    answer: Bytes,
}

/// Requests: path, `api-key`, and body.
type Got = Arc<Mutex<Vec<(String, Option<String>, Bytes)>>>;

impl Collector {
    async fn start() -> Self {
        Self::answering(Bytes::new()).await
    }

    async fn answering(answer: Bytes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self { url, answer, ..Self::default() };
        let Self { got, answer, .. } = collector.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (got, answer) = (got.clone(), answer.clone());
                let service =
                    service_fn(move |request: Request<Incoming>| keep(got.clone(), answer.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        collector
    }

    /// Starts a server that exports here, and what a job does with it; returns when all was exported.
    async fn after(&self, variables: &[(&str, &str)], act: impl AsyncFnOnce(&TestServer)) {
        let own = [("OTEL_EXPORTER_OTLP_ENDPOINT", self.url.as_str())];
        let server = TestServer::start(&[&own[..], variables].concat()).await;
        act(&server).await;
        stop(server).await;
    }

    fn spans(&self) -> Vec<Span> {
        let messages = self.bodies("/v1/traces").map(|body| ExportTraceServiceRequest::decode(body).unwrap());
        let resources = messages.flat_map(|message| message.resource_spans);
        resources.flat_map(|of| of.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    fn bodies(&self, path: &str) -> impl Iterator<Item = Bytes> {
        let got = self.got.lock().clone();
        got.into_iter().filter(move |(of, ..)| of == path).map(|(.., body)| body)
    }
}

/// Stops beside the runtime, on which the collector runs.
async fn stop(server: TestServer) -> TempDir {
    tokio::task::spawn_blocking(|| server.stop()).await.unwrap()
}

async fn keep(
    got: Got,
    answer: Bytes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let key = request.headers().get("api-key").map(|key| key.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    got.lock().push((path, key, body));
    Ok(Response::new(Full::new(answer)))
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    match attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// The names of the spans below one, and of those below the guest's call.
fn below(spans: &[Span], request: &Span) -> (Vec<String>, Vec<String>) {
    let of = |parent: &Span| -> Vec<Span> {
        spans.iter().filter(|span| span.parent_span_id == parent.span_id).cloned().collect()
    };
    let children = of(request);
    let names = |spans: &[Span]| spans.iter().map(|span| span.name.clone()).collect();
    let grandchildren: Vec<Span> = children.iter().flat_map(of).collect();
    (names(&children), names(&grandchildren))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_and_a_restore_leave_a_tree_of_spans_each_without_secrets() {
    let collector = Collector::start().await;
    collector
        .after(&[("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")], async |server| {
            let job = Job::new(server);
            job.look_up("Linux-cargo-1", &[]).await;
            job.save("Linux-cargo-1", b"content").await;
            assert_eq!(job.restore("Linux-cargo-1").await, "content");
        })
        .await;
    let spans = collector.spans();
    let by_name: BTreeMap<&str, &Span> = spans
        .iter()
        .filter(|span| span.parent_span_id.is_empty())
        .map(|span| (span.name.as_str(), span))
        .collect();
    for (name, outcome, call) in [
        ("POST lookup", "hit", "index.find"),
        ("POST reserve", "reserved", "index.reserve"),
        ("PUT upload", "stored", "storage.put"),
        ("POST finalize", "finalized", "index.finalize"),
        ("GET download", "served", "storage.open"),
    ] {
        let request = by_name.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", by_name.keys()));
        let of = |attribute_name: &str| attribute(&request.attributes, attribute_name);
        assert_eq!(of("larder.outcome").as_deref(), Some(outcome), "{name}");
        assert!(of("http.response.status_code").is_some_and(|code| code.starts_with('2')), "{request:?}");
        assert!(request.status.is_none() && of("error.type").is_none(), "{request:?}");
        let (children, calls) = below(&spans, request);
        assert_eq!(children, ["handle"], "{name}");
        assert!(calls.iter().any(|name| name == call), "{name}: {calls:?}");
    }
    let missed = spans.iter().find(|span| attribute(&span.attributes, "larder.miss.cause").is_some());
    assert_eq!(attribute(&missed.unwrap().attributes, "larder.miss.cause").as_deref(), Some("never-saved"));
    let traces: Vec<Bytes> = collector.bodies("/v1/traces").collect();
    let text = traces.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect::<String>();
    assert!(text.contains("deployment.environment.name") && text.contains("service.name"), "{text}");
    for secret in [SECRET, token("1", &[]).split('.').next().unwrap(), "sig=", "Bearer", "signature"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_trace_goes_on_and_its_decision_counts() {
    let collector = Collector::start().await;
    let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let unsampled = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    collector
        .after(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], async |server| {
            for parent in [sampled, unsampled] {
                server.send("GET", "/unknown", &[("traceparent", parent)], Bytes::new()).await;
            }
            server.get("/unknown").await;
        })
        .await;
    let spans = collector.spans();
    let [request] = &spans.iter().filter(|span| span.name.starts_with("GET")).collect::<Vec<_>>()[..] else {
        panic!("{spans:?}")
    };
    assert_eq!((request.trace_id[0], request.parent_span_id[0]), (0x0a, 0xb7));
    assert!(spans.iter().all(|span| span.trace_id == request.trace_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_samples_there_are_no_traces_and_the_metrics_are_those_of_a_scrape() {
    let collector = Collector::start().await;
    let variables = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let own = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let server = TestServer::start(&[&own[..], &variables].concat()).await;
    Job::new(&server).look_up("Linux-cargo-1", &[]).await;
    let metrics = server.metrics();
    stop(server).await;
    assert_eq!(collector.bodies("/v1/traces").count(), 0);
    let message =
        ExportMetricsServiceRequest::decode(collector.bodies("/v1/metrics").last().unwrap()).unwrap();
    let of_scope = &message.resource_metrics[0].scope_metrics[0].metrics;
    let text = metrics.render();
    let lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let mut compared = 0;
    for metric in of_scope {
        let (points, histograms) = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => (sum.data_points.as_slice(), 0),
            Data::Gauge(gauge) => (gauge.data_points.as_slice(), 0),
            Data::Histogram(histogram) => (&[][..], histogram.data_points.len()),
            other => panic!("{other:?}"),
        };
        let is_own = |line: &&&str| line.split('{').next() == Some(&metric.name);
        let is_count = |line: &&&str| line.split('{').next() == Some(&format!("{}_count", metric.name));
        let shown = lines.keys().filter(|line| is_own(line) || is_count(line)).count();
        // The export is counted when it is over.
        if !metric.name.starts_with("larder_otlp_exports") {
            assert_eq!(points.len() + histograms, shown, "{}", metric.name);
        }
        // What changes by itself is not compared.
        for point in points.iter().filter(|_| metric.name.starts_with("larder_")) {
            let labels: Vec<String> = point
                .attributes
                .iter()
                .map(|of| format!("{}=\"{}\"", of.key, attribute(std::slice::from_ref(of), &of.key).unwrap()))
                .collect();
            let series = match labels.as_slice() {
                [] => metric.name.clone(),
                labels => format!("{}{{{}}}", metric.name, labels.join(",")),
            };
            let shown: f64 = lines[series.as_str()].parse().unwrap();
            let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
            assert!((value - shown).abs() <= f64::EPSILON * shown.abs(), "{series}: {value}, {shown}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_has_its_own_url_and_headers() {
    let (general, own) = (Collector::start().await, Collector::start().await);
    let url = format!("{}/mine", own.url);
    general
        .after(
            &[
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url),
                ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=own"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=general"),
            ],
            async |server| drop(server.get("/unknown").await),
        )
        .await;
    let of = |collector: &Collector, path: &str| -> Vec<Option<String>> {
        let got = collector.got.lock();
        assert!(got.iter().all(|(to, ..)| to == path), "{got:?}");
        got.iter().map(|(_, key, _)| key.clone()).collect()
    };
    assert_eq!(of(&own, "/mine"), [Some("own".to_owned())]);
    assert_eq!(of(&general, "/v1/metrics"), [Some("general".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_rejects_are_counted() {
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "of no use here".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    let collector = Collector::answering(answer.encode_to_vec().into()).await;
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_METRICS_EXPORTER", "none")];
    let server = TestServer::start(&variables).await;
    server.get("/unknown").await;
    let metrics = server.metrics();
    stop(server).await;
    let messages = collector.bodies("/v1/traces").count();
    assert!(messages > 0);
    let text = metrics.render();
    assert!(text.contains(&format!("larder_otlp_dropped_spans_total {messages}\n")), "{text}");
    assert!(!text.contains(r#"larder_otlp_exports_total{signal="traces",result="error"} 1"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_changes_nothing_for_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = TestServer::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    let job = Job::new(&server);
    job.save("Linux-cargo-1", b"content").await;
    assert_eq!(job.restore("Linux-cargo-1").await, "content");
    let metrics = server.metrics();
    stop(server).await;
    let text = metrics.render();
    assert!(text.contains(r#"larder_otlp_exports_total{signal="traces",result="error"} 1"#), "{text}");
    let dropped = text.lines().find_map(|line| line.strip_prefix("larder_otlp_dropped_spans_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 4, "{dropped:?}");
}
