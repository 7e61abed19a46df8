//! Where in a trace a request is: the fields `traceparent` and `tracestate` of W3C Trace Context.

use http::HeaderMap;

/// Longest `tracestate` that is passed on, in bytes.
const MAX_STATE_BYTES: usize = 512;

/// The span of the client from which a request comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) is_sampled: bool,
}

impl Parent {
    /// Reads the field `traceparent`; `None` without one, and for one that is malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all("traceparent").iter();
        let (field, None) = (fields.next()?.to_str().ok()?, fields.next()) else { return None };
        let mut parts = field.split('-');
        let [version] = bytes_of(parts.next()?)?;
        let parent = Self {
            trace_id: bytes_of(parts.next()?)?,
            span_id: bytes_of(parts.next()?)?,
            is_sampled: bytes_of::<1>(parts.next()?)?[0] & 1 == 1,
        };
        let is_whole = version != 0xff && (version > 0 || parts.next().is_none());
        (is_whole && parent.trace_id != [0; 16] && parent.span_id != [0; 8]).then_some(parent)
    }
}

/// Returns the field `tracestate`, for the spans below a parent; empty where there is none, or it is too long.
pub(crate) fn state(headers: &HeaderMap) -> String {
    let fields: Vec<&str> =
        headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
    Some(fields.join(",")).filter(|state| state.len() <= MAX_STATE_BYTES).unwrap_or_default()
}

/// Reads `N` bytes as hexadecimal digits. The standard has them in lower case alone.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes).filter(|_| !text.contains(|digit: char| digit.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests;
