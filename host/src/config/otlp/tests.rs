#![expect(clippy::unwrap_used, reason = "tests")]

use crate::config::Config;

fn load(variables: &[(&str, &str)]) -> Result<Config, String> {
    let pairs = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Config::load(None, pairs.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318/otlp/");

#[test]
fn nothing_is_sent_or_checked_without_an_endpoint() {
    let ambient = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "console")];
    assert_eq!(load(&ambient).unwrap().settings.otlp.url("traces"), None);
    let disabled = [ENDPOINT, ("OTEL_SDK_DISABLED", "true"), ambient[0]];
    assert_eq!(load(&disabled).unwrap().settings.otlp.url("traces"), None);
}

#[test]
fn the_path_of_a_signal_is_appended() {
    let url = load(&[ENDPOINT]).unwrap().settings.otlp.url("metrics").unwrap();
    assert_eq!(url, "https://collector.example:4318/otlp/v1/metrics");
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
    assert_eq!(config.settings.otlp.header_fields().unwrap()["api-key"], "hush hush");
    assert!(!config.effective_toml().contains("hush") && !format!("{config:?}").contains("hush"));
}
