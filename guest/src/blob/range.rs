//! The `Range` of a download (RFC 9110, section 14).

use crate::ports::ByteRange;

/// A range header, resolved against the size of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResolvedRange {
    /// The whole object: the header is malformed, or has several ranges, and is ignored.
    Full,
    /// A part of the object.
    Partial(ByteRange),
    /// The range starts after the end of the object, or is empty.
    Unsatisfiable,
}

/// A single range, unresolved. Numbers saturate at 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    /// `a-b`, both included.
    Closed(u64, u64),
    /// `a-`.
    From(u64),
    /// `-n`.
    Last(u64),
}

/// Parses a range header, and resolves it against the object's size.
pub(super) fn resolve(header: &str, size_bytes: u64) -> ResolvedRange {
    let part = |start: u64, end: u64| {
        if start < end {
            ResolvedRange::Partial(ByteRange { start, end })
        } else {
            ResolvedRange::Unsatisfiable
        }
    };
    match parse(header) {
        None => ResolvedRange::Full,
        Some(RangeSpec::Closed(first, last)) => part(first, last.saturating_add(1).min(size_bytes)),
        Some(RangeSpec::From(first)) => part(first, size_bytes),
        Some(RangeSpec::Last(count)) => part(size_bytes - count.min(size_bytes), size_bytes),
    }
}

/// Returns `None` unless the header has exactly one range of bytes.
fn parse(header: &str) -> Option<RangeSpec> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    match (first, last) {
        ("", last) => number(last).map(RangeSpec::Last),
        (first, "") => number(first).map(RangeSpec::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::Closed(first, last))
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
