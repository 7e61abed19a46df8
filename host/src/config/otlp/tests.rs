#![expect(clippy::unwrap_used, reason = "tests")]

use larder_otlp::Signal;

use crate::config::Config;

fn load(variables: &[(&str, &str)]) -> Result<Config, String> {
    let pairs = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Config::load(None, pairs.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318/otlp/");

#[test]
fn nothing_is_sent_or_checked_without_an_endpoint() {
    let ambient = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "console")];
    assert!(load(&ambient).unwrap().settings.otlp.target(Signal::Traces).is_none());
    let disabled = [ENDPOINT, ("OTEL_SDK_DISABLED", "true"), ambient[0]];
    assert!(load(&disabled).unwrap().settings.otlp.target(Signal::Traces).is_none());
}

#[test]
fn the_path_of_a_signal_is_appended() {
    let target = load(&[ENDPOINT]).unwrap().settings.otlp.target(Signal::Metrics).unwrap();
    assert_eq!(target.url, "https://collector.example:4318/otlp/v1/metrics");
}

#[test]
fn what_is_set_for_a_signal_counts_for_it_alone() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces.example:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=own"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "7"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=any,b=any"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let otlp = load(&variables).unwrap().settings.otlp;
    let traces = otlp.target(Signal::Traces).unwrap();
    // The whole URL: nothing is appended.
    assert_eq!(
        (traces.url.to_string().as_str(), traces.timeout.as_millis()),
        ("http://traces.example:4318/", 7)
    );
    assert_eq!((traces.headers.len(), traces.headers["a"].as_bytes()), (1, &b"own"[..]));
    assert!(otlp.target(Signal::Metrics).is_none());
    let both = [ENDPOINT, variables[0], variables[3]];
    let metrics = load(&both).unwrap().settings.otlp.target(Signal::Metrics).unwrap();
    assert_eq!(metrics.url.authority().unwrap(), "collector.example:4318");
    assert_eq!((metrics.headers.len(), metrics.timeout.as_millis()), (2, 10_000));
    let without = load(&[variables[0]]).unwrap().settings.otlp;
    assert!(without.target(Signal::Metrics).is_none(), "there is no URL for them");
}

#[test]
fn what_cannot_be_done_is_refused_by_its_name() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hush@collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/?key=hush"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=hush%0a"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/?key=hush"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "hush"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "600001"),
    ] {
        let both = [ENDPOINT, (name, value)];
        let given = if name == ENDPOINT.0 { &both[1..] } else { &both[..] };
        let error = load(given).unwrap_err();
        assert!(error.contains(name) && !error.contains("hush"), "{error}");
    }
    let ratio = [ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")];
    assert!(load(&ratio).unwrap_err().contains("OTEL_TRACES_SAMPLER_ARG"));
}

#[test]
fn headers_are_not_shown() {
    let config = load(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hush%20hush")]).unwrap();
    assert_eq!(config.settings.otlp.target(Signal::Traces).unwrap().headers["api-key"], "hush hush");
    assert!(!config.effective_toml().contains("hush") && !format!("{config:?}").contains("hush"));
}
