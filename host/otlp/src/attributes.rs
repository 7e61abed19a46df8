//! Attributes of spans and of the resource, and lists of them as the standard variables have them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use percent_encoding::percent_decode_str;

/// A name and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute(pub(crate) KeyValue);

impl Attribute {
    /// One with a text.
    #[must_use]
    pub fn text(name: &str, value: impl Into<String>) -> Self {
        Self::of(name, Value::StringValue(value.into()))
    }

    /// One with a number; one that does not fit is the largest that does.
    #[must_use]
    pub fn number(name: &str, value: u64) -> Self {
        Self::of(name, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn of(name: &str, value: Value) -> Self {
        let value = Some(AnyValue { value: Some(value) });
        Self(KeyValue { key: name.to_owned(), value, ..KeyValue::default() })
    }
}

/// Reads `name=value,name=value`, with percent-encoded values: the form of `OTEL_RESOURCE_ATTRIBUTES` and of
/// `OTEL_EXPORTER_OTLP_HEADERS`. `None` when it is malformed.
#[must_use]
pub fn parse_pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), percent_decode_str(value.trim()).decode_utf8().ok()?);
            (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
