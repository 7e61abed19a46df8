//! URLs that prove themselves: who has one may upload to this upload, or download this entry, until it expires.
//!
//! Called by `twirp` (make) and `blob` (check). The signature covers decoded values of the URL's own parameters, so their
//! order, their encoding and further parameters (`comp`, `blockid`, `timeout`, …) do not matter. Must never know the key.

use crate::ports::Host;
use crate::query;
use crate::route::{DOWNLOADS, UPLOADS};

/// What a signed URL is good for. A URL for one purpose is worth nothing for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Upload,
    Download,
}

/// Why a URL does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has no signature, or no readable time of expiry.
    Unsigned,
    /// The signature is of another URL, or of nobody here.
    Forged,
    /// It was good once.
    Expired,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Upload => UPLOADS,
            Self::Download => DOWNLOADS,
        }
    }
}

/// Returns a URL for `name` that is good until `expires_ms` (rounded down to a second).
pub(crate) fn make<H: Host>(host: &H, origin: &str, purpose: Purpose, name: &str, expires_ms: u64) -> String {
    let expires = expires_ms / 1000;
    let signature = host.sign(&signed_text(purpose, name, expires));
    // A slash at the end of a configured origin would make a double slash, which Azure's SDKs refuse.
    let origin = origin.trim_end_matches('/');
    format!("{origin}{}{name}?se={expires}&sig={signature}", purpose.path())
}

/// Checks that the query was made by [`make`] for this purpose and name, and is still good.
///
/// # Errors
/// When it is not. The signature is judged before the time: what is told of a forged URL is only that.
pub(crate) fn check<H: Host>(
    host: &H,
    purpose: Purpose,
    name: &str,
    query: Option<&str>,
    now_ms: u64,
) -> Result<(), Refused> {
    let (Some(Ok(expires)), Some(Ok(signature))) =
        (query::parameter(query, "se"), query::parameter(query, "sig"))
    else {
        return Err(Refused::Unsigned);
    };
    let expires: u64 = expires.parse().map_err(|_| Refused::Unsigned)?;
    if !host.check(&signed_text(purpose, name, expires), &signature) {
        return Err(Refused::Forged);
    }
    if now_ms > expires.saturating_mul(1000) { Err(Refused::Expired) } else { Ok(()) }
}

fn signed_text(purpose: Purpose, name: &str, expires: u64) -> String {
    format!("{}\n{name}\n{expires}", purpose.word())
}

#[cfg(test)]
mod tests;
