//! Parameters of query strings.
//!
//! Called by `route`, `url`, `blob` and `v1`. Percent escapes are decoded once. [`parameter`] keeps
//! a `+`: block ids are base64, and no client sends a space in the parameters read that way.

use std::{borrow::Cow, str::Utf8Error};

use percent_encoding::percent_decode_str;

/// Returns the first parameter with this name, decoded, or `None`. Borrows if there is nothing to
/// decode.
///
/// # Errors
/// When the decoded value is not UTF-8.
pub(crate) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<Result<Cow<'q, str>, Utf8Error>> {
    let raw = query?.split('&').find_map(|pair| value_of(pair, name))?;
    Some(percent_decode_str(raw).decode_utf8())
}

/// Returns the first parameter with this name, decoded as a form field: a `+` is a space. Go
/// encodes queries of protocol version 1 that way; all other clients escape a `+`.
///
/// # Errors
/// When the decoded value is not UTF-8.
pub(crate) fn form_parameter(query: Option<&str>, name: &str) -> Option<Result<String, Utf8Error>> {
    let raw = query?.split('&').find_map(|pair| value_of(pair, name))?.replace('+', " ");
    Some(percent_decode_str(&raw).decode_utf8().map(Cow::into_owned))
}

fn value_of<'q>(pair: &'q str, name: &str) -> Option<&'q str> {
    let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
    percent_decode_str(found).eq(name.bytes()).then_some(value)
}

#[cfg(test)]
mod tests;
