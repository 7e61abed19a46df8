//! The exporter to a collector of OpenTelemetry.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use larder_common::{causes::chain, clock::Clock};
use larder_metrics::Metrics;
use larder_otlp::{Attribute, Exporter, Post, PostError, Reporter, Sampler, Signal};
use uuid::Uuid;

use super::{Observed, outgoing::Outgoing};
use crate::{
    config::{OtlpConfig, Settings},
    error::StartError,
    net::{ClientOptions, HttpsClient, https_client},
};

/// Longest response of a collector that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Where nothing says another.
const SERVICE_NAME: &str = "larder";

/// Starts the exporter; `None` where nothing is to be sent.
///
/// # Errors
/// When the certificates cannot be read, or no thread starts.
pub(crate) fn otlp(settings: &Settings, observed: &Observed) -> Result<Option<Exporter>, StartError> {
    let otlp = &settings.otlp;
    let traces = otlp.target(Signal::Traces);
    let metrics = otlp.target(Signal::Metrics).filter(|_| settings.metrics.enabled);
    let Some(connect_timeout) = traces.iter().chain(&metrics).map(|target| target.timeout).max() else {
        return Ok(None);
    };
    let outgoing = Outgoing::new(settings)?;
    let options = ClientOptions { connect_timeout, idle_per_host: 2 };
    let collector = Collector(https_client((*outgoing.tls).clone(), &outgoing.proxies, options));
    let exported = larder_otlp::Settings {
        traces,
        metrics,
        resource: resource(otlp),
        // What is malformed is refused with the configuration.
        sampler: otlp.sampler().unwrap_or(Sampler::NONE),
        metrics_every: Duration::from_millis(otlp.metric_interval_ms),
        clock: Clock::system(),
    };
    let counted = Arc::new(Counted(observed.metrics.clone()));
    Exporter::start(exported, collector, counted).map(Some).map_err(StartError::Thread)
}

/// What describes the server: its name, its version, a number of this start, and what is configured.
fn resource(otlp: &OtlpConfig) -> Vec<Attribute> {
    let mut attributes = otlp.attributes().unwrap_or_default();
    let mut add = |name: &str, value: &str, replaces: bool| {
        let known = attributes.iter().any(|(known, _)| known == name);
        if replaces {
            attributes.retain(|(known, _)| known != name);
        }
        if replaces || !known {
            attributes.push((name.to_owned(), value.to_owned()));
        }
    };
    let name = otlp.service_name.as_deref();
    add("service.name", name.unwrap_or(SERVICE_NAME), name.is_some());
    add("service.version", env!("CARGO_PKG_VERSION"), false);
    add("service.instance.id", &Uuid::new_v4().hyphenated().to_string(), false);
    attributes.into_iter().map(|(name, value)| Attribute::text(&name, value)).collect()
}

/// A collector, reached as other services are: with the configured certificates, through the configured proxies.
struct Collector(HttpsClient<Full<Bytes>>);

#[async_trait]
impl Post for Collector {
    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, PostError> {
        let response = self.0.request(request.map(Full::new)).await;
        let (head, body) = response.map_err(|error| PostError(chain(&error)))?.into_parts();
        let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
        let body = body.map_err(|error| PostError(error.to_string()))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// What the exporter has of the server.
struct Counted(Arc<Metrics>);

#[async_trait]
impl Reporter for Counted {
    async fn metrics(&self) -> String {
        self.0.scrape().await
    }

    fn exported(&self, signal: Signal, is_ok: bool) {
        self.0.count_export(signal.word(), is_ok);
    }

    fn dropped(&self, spans: u64) {
        self.0.count_dropped_spans(spans);
    }
}
