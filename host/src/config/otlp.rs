//! The section `otlp`: a collector of OpenTelemetry, to which traces and metrics go.
//!
//! Its variables are the standard's, and may be meant for other programs on the machine: nothing of the section is
//! checked unless an endpoint is set.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use larder_otlp::{Sampler, Signal, Target, parse_pairs};
use serde::{Deserialize, Serialize};

use super::{
    ConfigError, Secret,
    check::{Check, MAX_MS},
    optional,
};

/// The only protocol.
const PROTOCOL: &str = "http/protobuf";

/// A collector of OpenTelemetry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// The collector's URL, to which `/v1/traces` and `/v1/metrics` are appended; unset: nothing is sent.
    #[serde(with = "optional")]
    pub endpoint: Option<String>,
    /// The whole URL for traces, instead of that.
    #[serde(with = "optional")]
    pub traces_endpoint: Option<String>,
    /// The whole URL for metrics.
    #[serde(with = "optional")]
    pub metrics_endpoint: Option<String>,
    /// Header fields of each request to it: `name=value,name=value`, percent-encoded.
    #[serde(with = "optional")]
    pub headers: Option<Secret>,
    /// Those of requests with traces, instead of these.
    #[serde(with = "optional")]
    pub traces_headers: Option<Secret>,
    /// Those of requests with metrics.
    #[serde(with = "optional")]
    pub metrics_headers: Option<Secret>,
    /// How it is spoken to: `http/protobuf`.
    pub protocol: String,
    /// The same for traces.
    #[serde(with = "optional")]
    pub traces_protocol: Option<String>,
    /// The same for metrics.
    #[serde(with = "optional")]
    pub metrics_protocol: Option<String>,
    /// How long a request to it may take.
    pub timeout_ms: u64,
    /// One with traces; 0: as any.
    pub traces_timeout_ms: u64,
    /// One with metrics; 0: as any.
    pub metrics_timeout_ms: u64,
    /// The name of this service.
    #[serde(with = "optional")]
    pub service_name: Option<String>,
    /// What else describes it: `name=value,name=value`, percent-encoded.
    #[serde(with = "optional")]
    pub resource_attributes: Option<String>,
    /// Whether traces are sent: `otlp` or `none`.
    pub traces: String,
    /// Whether metrics are.
    pub metrics: String,
    /// Which requests are traced.
    pub sampler: String,
    /// The share of requests, where the sampler takes one.
    #[serde(with = "optional")]
    pub sampler_arg: Option<String>,
    /// Time between two exports of metrics.
    pub metric_interval_ms: u64,
    /// Whether nothing is sent, whatever else is set.
    pub disabled: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            traces_endpoint: None,
            metrics_endpoint: None,
            headers: None,
            traces_headers: None,
            metrics_headers: None,
            protocol: PROTOCOL.to_owned(),
            traces_protocol: None,
            metrics_protocol: None,
            timeout_ms: 10_000,
            traces_timeout_ms: 0,
            metrics_timeout_ms: 0,
            service_name: None,
            resource_attributes: None,
            traces: "otlp".to_owned(),
            metrics: "otlp".to_owned(),
            sampler: "parentbased_always_on".to_owned(),
            sampler_arg: None,
            metric_interval_ms: 60_000,
            disabled: false,
        }
    }
}

impl OtlpConfig {
    /// Returns where a signal goes; `None` where it is not sent, or a setting is malformed.
    #[must_use]
    pub fn target(&self, signal: Signal) -> Option<Target> {
        let own = self.own(signal);
        if self.disabled || own.exporter == "none" {
            return None;
        }
        let url = match own.endpoint.1 {
            Some(url) => url.parse().ok()?,
            None => {
                let endpoint = self.endpoint.as_ref()?.trim_end_matches('/');
                format!("{endpoint}/v1/{}", signal.word()).parse().ok()?
            }
        };
        let headers = header_fields(own.headers.1.or(self.headers.as_ref()))?;
        let timeout = if own.timeout_ms > 0 { own.timeout_ms } else { self.timeout_ms };
        Some(Target { url, headers, timeout: Duration::from_millis(timeout) })
    }

    fn own(&self, signal: Signal) -> Own<'_> {
        match signal {
            Signal::Traces => Own {
                exporter: &self.traces,
                endpoint: ("otlp.traces_endpoint", self.traces_endpoint.as_deref()),
                headers: ("otlp.traces_headers", self.traces_headers.as_ref()),
                protocol: ("otlp.traces_protocol", self.traces_protocol.as_deref()),
                timeout_ms: self.traces_timeout_ms,
            },
            Signal::Metrics => Own {
                exporter: &self.metrics,
                endpoint: ("otlp.metrics_endpoint", self.metrics_endpoint.as_deref()),
                headers: ("otlp.metrics_headers", self.metrics_headers.as_ref()),
                protocol: ("otlp.metrics_protocol", self.metrics_protocol.as_deref()),
                timeout_ms: self.metrics_timeout_ms,
            },
        }
    }

    /// Returns what describes the server, without its name; `None` where it is malformed.
    #[must_use]
    pub fn attributes(&self) -> Option<Vec<(String, String)>> {
        parse_pairs(self.resource_attributes.as_deref().unwrap_or_default())
    }

    /// Returns which requests are traced; `None` where there is no such sampler, or its share is not from 0 to 1.
    #[must_use]
    pub fn sampler(&self) -> Option<Sampler> {
        let ratio = match self.sampler_arg.as_deref().filter(|_| self.sampler.ends_with("ratio")) {
            Some(text) => text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))?,
            None => 1.0,
        };
        Sampler::named(&self.sampler, ratio)
    }
}

/// The settings of one signal, with their names.
struct Own<'a> {
    exporter: &'a str,
    endpoint: (&'static str, Option<&'a str>),
    headers: (&'static str, Option<&'a Secret>),
    protocol: (&'static str, Option<&'a str>),
    timeout_ms: u64,
}

/// Reads header fields; `None` where they are malformed.
fn header_fields(text: Option<&Secret>) -> Option<HeaderMap> {
    let field = |(name, value): (String, String)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name).ok()?, value))
    };
    parse_pairs(text.map_or("", Secret::expose))?.into_iter().map(field).collect()
}

/// Returns whether requests can be sent there.
fn is_usable(url: &str) -> bool {
    let is_url = |url: &Uri| {
        let host = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        host && ["http", "https"].contains(&url.scheme_str().unwrap_or_default()) && url.query().is_none()
    };
    !url.contains('#') && url.parse().ok().as_ref().is_some_and(is_url)
}

impl Check<'_> {
    pub(super) fn otlp(&self, otlp: &OtlpConfig) -> Result<(), ConfigError> {
        let signals = [Signal::Traces, Signal::Metrics].map(|signal| otlp.own(signal));
        let general = ("otlp.endpoint", otlp.endpoint.as_deref());
        let endpoints: Vec<(&str, &str)> = signals
            .iter()
            .map(|own| own.endpoint)
            .chain([general])
            .filter_map(|(name, url)| Some((name, url?)))
            .collect();
        if otlp.disabled || endpoints.is_empty() {
            return Ok(());
        }
        for (name, url) in endpoints {
            self.that(name, is_usable(url), || {
                "is not usable; it must be like http://collector.example:4318, without a user name or a query"
                    .to_owned()
            })?;
        }
        let form = "is malformed; it must be like name=value,name=value, with percent-encoded values";
        for own in signals {
            let (name, protocol) = match own.protocol {
                (name, Some(protocol)) => (name, protocol),
                (_, None) => ("otlp.protocol", otlp.protocol.as_str()),
            };
            self.that(name, protocol == PROTOCOL || own.exporter == "none", || {
                format!("is `{protocol}`; it must be {PROTOCOL}, which collectors speak on port 4318")
            })?;
            let (name, headers) = own.headers;
            self.that(name, header_fields(headers).is_some(), || form.to_owned())?;
        }
        self.that("otlp.headers", header_fields(otlp.headers.as_ref()).is_some(), || form.to_owned())?;
        for (name, value) in [("otlp.traces", &otlp.traces), ("otlp.metrics", &otlp.metrics)] {
            self.that(name, ["otlp", "none"].contains(&value.as_str()), || {
                format!("is `{value}`; it must be otlp or none")
            })?;
        }
        self.that("otlp.sampler", Sampler::named(&otlp.sampler, 1.0).is_some(), || {
            format!("is `{}`; it must be {}", otlp.sampler, Sampler::NAMES)
        })?;
        self.that("otlp.sampler_arg", otlp.sampler().is_some(), || {
            format!(
                "is `{}`; it must be a number from 0 to 1",
                otlp.sampler_arg.as_deref().unwrap_or_default()
            )
        })?;
        self.that("otlp.resource_attributes", otlp.attributes().is_some(), || form.to_owned())?;
        self.ranges(&[
            ("otlp.timeout_ms", otlp.timeout_ms, 1, 600_000),
            ("otlp.traces_timeout_ms", otlp.traces_timeout_ms, 0, 600_000),
            ("otlp.metrics_timeout_ms", otlp.metrics_timeout_ms, 0, 600_000),
            ("otlp.metric_interval_ms", otlp.metric_interval_ms, 100, MAX_MS),
        ])
    }
}

#[cfg(test)]
mod tests;
