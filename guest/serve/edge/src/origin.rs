//! The origin at which a client reached this server: the beginning of the URLs that it gets.

use http::uri::Authority;

use crate::checks::BadHead;

/// Longest accepted `Host`, in bytes.
const MAX_HOST_BYTES: usize = 255;

/// What an operator reads who has not set the base URL, where it is needed.
const NO_ORIGIN: &str = "API_BASE_URL is not set, and this host does not pass a request's Host field on (`wasmtime serve` \
     does not): set it to the URL at which clients reach this server, such as \
     --env API_BASE_URL=http://127.0.0.1:8080";

/// Returns the configured base URL, else the request's `Host`, else the authority of its target. A
/// client with a false `Host` misleads only itself. Fails for an unusable `Host`, for two of them
/// (RFC 9112, 3.2), and where nothing tells the origin.
pub(crate) fn origin(
    base_url: Option<&str>,
    hosts: &[Vec<u8>],
    authority: Option<&str>,
) -> Result<String, BadHead> {
    let unusable = BadHead::malformed("the request has no usable Host field");
    let host = match hosts {
        [] => authority,
        [host] => std::str::from_utf8(host).ok().map(Some).ok_or(unusable)?,
        _ => return Err(unusable),
    };
    if let Some(base_url) = base_url {
        return Ok(base_url.to_owned());
    }
    let host = host.ok_or(BadHead { status: 503, code: "unavailable", why: NO_ORIGIN })?;
    Ok(format!("http://{}", usable(host).ok_or(unusable)?))
}

fn usable(host: &str) -> Option<Authority> {
    let authority: Authority = Some(host).filter(|host| host.len() <= MAX_HOST_BYTES)?.parse().ok()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    plain.then_some(authority)
}
