//! URLs that prove themselves: who has one may upload to this upload, or download this entry, until it expires.
//!
//! Called by `twirp` (make) and `blob` (check). The signature covers decoded values of the URL's own parameters, so their
//! order, their encoding and further parameters (`comp`, `blockid`, `timeout`, …) do not matter. Must never know the key.

use crate::ports::Host;
use crate::query;
use crate::route::{DOWNLOADS, UPLOADS};
use crate::writer::Writer;

/// Why a URL does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has no signature, or no readable time of expiry, or writer.
    Unsigned,
    /// The signature is of another URL, or of nobody here.
    Forged,
    /// It was good once.
    Expired,
}

/// Returns a URL by which this writer uploads to the upload `name` until `expires_ms` (rounded down to a second).
pub(crate) fn make_upload<H: Host>(
    host: &H,
    origin: &str,
    name: &str,
    writer: Writer,
    expires_ms: u64,
) -> String {
    let (tag, expires) = (writer.tag(), expires_ms / 1000);
    let signature = host.sign(&upload_text(name, expires, tag));
    format!("{}{UPLOADS}{name}?w={tag}&se={expires}&sig={signature}", trimmed(origin))
}

/// Returns a URL for downloads of the entry `name` that is good until `expires_ms` (rounded down to a second).
pub(crate) fn make_download<H: Host>(host: &H, origin: &str, name: &str, expires_ms: u64) -> String {
    let expires = expires_ms / 1000;
    let signature = host.sign(&download_text(name, expires));
    format!("{}{DOWNLOADS}{name}?se={expires}&sig={signature}", trimmed(origin))
}

/// Checks that the query was made by [`make_upload`] for this name, and is still good; returns whose it is.
///
/// # Errors
/// When it is not. The signature is judged before the time: what is told of a forged URL is only that.
pub(crate) fn check_upload<H: Host>(
    host: &H,
    name: &str,
    query: Option<&str>,
    now_ms: u64,
) -> Result<Writer, Refused> {
    let tag = number(query, "w")?;
    check(host, query, now_ms, |expires| upload_text(name, expires, tag))?;
    Writer::from_tag(tag).ok_or(Refused::Forged)
}

/// Checks that the query was made by [`make_download`] for this name, and is still good.
///
/// # Errors
/// As [`check_upload`].
pub(crate) fn check_download<H: Host>(
    host: &H,
    name: &str,
    query: Option<&str>,
    now_ms: u64,
) -> Result<(), Refused> {
    check(host, query, now_ms, |expires| download_text(name, expires))
}

fn check<H: Host>(
    host: &H,
    query: Option<&str>,
    now_ms: u64,
    signed_text: impl FnOnce(u64) -> String,
) -> Result<(), Refused> {
    let expires = number(query, "se")?;
    let Some(Ok(signature)) = query::parameter(query, "sig") else {
        return Err(Refused::Unsigned);
    };
    if !host.check(&signed_text(expires), &signature) {
        return Err(Refused::Forged);
    }
    if now_ms > expires.saturating_mul(1000) { Err(Refused::Expired) } else { Ok(()) }
}

fn number(query: Option<&str>, name: &str) -> Result<u64, Refused> {
    let value = query::parameter(query, name).and_then(Result::ok);
    value.and_then(|value| value.parse().ok()).ok_or(Refused::Unsigned)
}

/// A slash at the end of a configured origin would make a double slash, which Azure's SDKs refuse.
fn trimmed(origin: &str) -> &str {
    origin.trim_end_matches('/')
}

/// A URL for one purpose is worth nothing for the other.
fn upload_text(name: &str, expires: u64, tag: u64) -> String {
    format!("upload\n{name}\n{expires}\n{tag}")
}

fn download_text(name: &str, expires: u64) -> String {
    format!("download\n{name}\n{expires}")
}

#[cfg(test)]
mod tests;
