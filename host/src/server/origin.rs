//! Where a client reached this server: what the URLs begin with that it is given.

use http::{HeaderMap, Uri, header::HOST, request::Parts, uri::Authority};

/// Longest `Host` that is believed, in bytes.
const MAX_HOST_BYTES: usize = 255;
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Returns the configured base URL, else what the request says of itself: its `Host`, and the scheme that a proxy in front
/// names. A client that lies about itself misleads only itself. `None` where it says nothing usable.
pub(super) fn origin(base_url: Option<&str>, head: &Parts) -> Option<String> {
    if let Some(base_url) = base_url {
        return Some(base_url.to_owned());
    }
    let authority = authority(&head.uri, &head.headers)?;
    Some(format!("{}://{authority}", scheme(&head.headers)))
}

fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let said = match headers.get(HOST) {
        Some(host) => host.to_str().ok().filter(|host| host.len() <= MAX_HOST_BYTES)?.parse().ok()?,
        None => uri.authority()?.clone(),
    };
    let plain = !said.as_str().contains('@') && !said.host().is_empty();
    plain.then_some(said)
}

fn scheme(headers: &HeaderMap) -> &'static str {
    match headers.get(FORWARDED_PROTO) {
        Some(proto) if proto.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        _ => "http",
    }
}
