//! The `Range` of a download (RFC 9110, section 14).

use crate::ports::ByteRange;

/// What a range asks of an object of a known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: the range is not one, or not one that is served (several at once), and is to be ignored.
    Whole,
    /// A part of it.
    Part(ByteRange),
    /// Nothing that it has.
    Unsatisfiable,
}

/// A single range, before it is held against a size. Numbers that are too large for 64 bits are the largest that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// `a-b`, both included.
    Closed(u64, u64),
    /// `a-`.
    From(u64),
    /// `-n`.
    Last(u64),
}

/// Reads a range header and holds it against the object's size.
pub(super) fn resolve(header: &str, size_bytes: u64) -> Asked {
    let part = |start: u64, end: u64| {
        if start < end { Asked::Part(ByteRange { start, end }) } else { Asked::Unsatisfiable }
    };
    match parse(header) {
        None => Asked::Whole,
        Some(Spec::Closed(first, last)) => part(first, last.saturating_add(1).min(size_bytes)),
        Some(Spec::From(first)) => part(first, size_bytes),
        Some(Spec::Last(count)) => part(size_bytes - count.min(size_bytes), size_bytes),
    }
}

/// Returns `None` for what is not exactly one range of bytes.
fn parse(header: &str) -> Option<Spec> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    match (first, last) {
        ("", last) => number(last).map(Spec::Last),
        (first, "") => number(first).map(Spec::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Closed(first, last))
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
