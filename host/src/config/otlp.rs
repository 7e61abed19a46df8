//! The section `otlp`: a collector of OpenTelemetry, to which traces and metrics go.
//!
//! Its variables are the standard's, and may be meant for other programs on the machine: nothing of the section is
//! checked unless an endpoint is set.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use larder_otlp::{Sampler, parse_pairs};
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
    /// Header fields of each request to it: `name=value,name=value`, percent-encoded.
    #[serde(with = "optional")]
    pub headers: Option<Secret>,
    /// How it is spoken to: `http/protobuf`.
    pub protocol: String,
    /// How long a request to it may take.
    pub timeout_ms: u64,
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
            headers: None,
            protocol: PROTOCOL.to_owned(),
            timeout_ms: 10_000,
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
    /// Returns the collector's URL for a signal (`traces`), if anything is sent at all.
    #[must_use]
    pub fn url(&self, signal: &str) -> Option<Uri> {
        let endpoint = self.endpoint.as_ref().filter(|_| !self.disabled)?;
        format!("{}/v1/{signal}", endpoint.trim_end_matches('/')).parse().ok()
    }

    /// Returns the header fields; `None` where they are malformed.
    #[must_use]
    pub fn header_fields(&self) -> Option<HeaderMap> {
        let text = self.headers.as_ref().map_or("", Secret::expose);
        let field = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        parse_pairs(text)?.into_iter().map(field).collect()
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

impl Check<'_> {
    pub(super) fn otlp(&self, otlp: &OtlpConfig) -> Result<(), ConfigError> {
        let Some(endpoint) = otlp.endpoint.as_deref().filter(|_| !otlp.disabled) else { return Ok(()) };
        let is_url = |url: &Uri| {
            let host = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
            host && ["http", "https"].contains(&url.scheme_str().unwrap_or_default()) && url.query().is_none()
        };
        let valid = !endpoint.contains('#') && endpoint.parse().ok().as_ref().is_some_and(is_url);
        self.that("otlp.endpoint", valid && otlp.url("traces").is_some(), || {
            "is not usable; it must be like http://collector.example:4318, without a user name or a query"
                .to_owned()
        })?;
        self.that("otlp.protocol", otlp.protocol == PROTOCOL, || {
            format!("is `{}`; it must be {PROTOCOL}, which collectors speak on port 4318", otlp.protocol)
        })?;
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
        let form = "is malformed; it must be like name=value,name=value, with percent-encoded values";
        self.that("otlp.headers", otlp.header_fields().is_some(), || form.to_owned())?;
        self.that("otlp.resource_attributes", otlp.attributes().is_some(), || form.to_owned())?;
        self.ranges(&[
            ("otlp.timeout_ms", otlp.timeout_ms, 1, 600_000),
            ("otlp.metric_interval_ms", otlp.metric_interval_ms, 100, MAX_MS),
        ])
    }
}

#[cfg(test)]
mod tests;
