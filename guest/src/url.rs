//! Signed URLs: the holder may upload to one upload, or download one entry, until the URL expires.
//!
//! Made by `twirp` and `service`, checked by `blob`. The signature covers the decoded values of the
//! URL's own parameters, so their order and encoding, and other parameters (`comp`, `blockid`,
//! `timeout`, …), do not matter. The key stays in the host.

use crate::ports::Host;
use crate::query;
use crate::route::{DOWNLOADS, UPLOADS};
use crate::writer::Writer;

/// Why a URL is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlError {
    /// The signature, the expiry or the writer is missing or malformed.
    Unsigned,
    /// The signature is wrong.
    Forged,
    /// The signature is right, but the URL has expired.
    Expired,
}

/// Returns a URL with which this writer can upload to the upload `name` until `expires_ms` (rounded
/// down to a second).
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

/// Returns a URL with which the entry `id` can be downloaded until `expires_ms` (rounded down to a
/// second).
pub(crate) fn make_download<H: Host>(host: &H, origin: &str, id: &str, expires_ms: u64) -> String {
    let expires = expires_ms / 1000;
    let signature = host.sign(&download_text(id, expires));
    format!("{}{DOWNLOADS}{id}?se={expires}&sig={signature}", trimmed(origin))
}

/// Checks a query made by [`make_upload`] for this name, and returns its writer.
///
/// # Errors
/// When it is rejected. The signature is checked before the expiry, so that a forged URL is only
/// ever reported as forged.
pub(crate) fn check_upload<H: Host>(
    host: &H,
    name: &str,
    query: Option<&str>,
    now_ms: u64,
) -> Result<Writer, UrlError> {
    let tag = number(query, "w")?;
    check(host, query, now_ms, |expires| upload_text(name, expires, tag))?;
    Writer::from_tag(tag).ok_or(UrlError::Forged)
}

/// Checks a query made by [`make_download`] for this id.
///
/// # Errors
/// As [`check_upload`].
pub(crate) fn check_download<H: Host>(
    host: &H,
    id: &str,
    query: Option<&str>,
    now_ms: u64,
) -> Result<(), UrlError> {
    check(host, query, now_ms, |expires| download_text(id, expires))
}

fn check<H: Host>(
    host: &H,
    query: Option<&str>,
    now_ms: u64,
    signed_text: impl FnOnce(u64) -> String,
) -> Result<(), UrlError> {
    let expires = number(query, "se")?;
    let Some(Ok(signature)) = query::parameter(query, "sig") else {
        return Err(UrlError::Unsigned);
    };
    if !host.check(&signed_text(expires), &signature) {
        return Err(UrlError::Forged);
    }
    if now_ms > expires.saturating_mul(1000) { Err(UrlError::Expired) } else { Ok(()) }
}

fn number(query: Option<&str>, name: &str) -> Result<u64, UrlError> {
    let value = query::parameter(query, name).and_then(Result::ok);
    value.and_then(|value| value.parse().ok()).ok_or(UrlError::Unsigned)
}

/// Drops slashes at the end of a configured origin: Azure's SDKs reject a double slash.
fn trimmed(origin: &str) -> &str {
    origin.trim_end_matches('/')
}

/// The first line separates the purposes: a URL for one is forged for the other.
fn upload_text(name: &str, expires: u64, tag: u64) -> String {
    format!("upload\n{name}\n{expires}\n{tag}")
}

fn download_text(id: &str, expires: u64) -> String {
    format!("download\n{id}\n{expires}")
}

#[cfg(test)]
mod tests;
