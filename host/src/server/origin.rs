//! The origin at which a client reached this server: the beginning of the URLs that it gets.

use http::{HeaderMap, HeaderValue, Uri, Version, header::HOST, request::Parts, uri::Authority};

use super::{forwarded_header, peer::Peer};

/// Longest accepted `Host`, in bytes.
const MAX_HOST_BYTES: usize = 255;

/// Where a client reached this server.
pub(super) struct Reached {
    /// Its host, and the port if it is named.
    pub(super) authority: Authority,
    scheme: &'static str,
}

impl Reached {
    /// Scheme and authority.
    pub(super) fn origin(&self) -> String {
        [self.scheme, "://", self.authority.as_str()].concat()
    }
}

/// Returns the configured base URL, else the host and scheme that a trusted proxy forwards, else
/// the request's `Host`, with `https` where the connection has TLS. A client with a false `Host` misleads only itself. HTTP/1.0 has no `Host`:
/// there it is the address of the connection. Returns `None` for an unusable `Host`, and for two of
/// them (RFC 9112, 3.2).
pub(super) fn origin(base_url: Option<&str>, head: &Parts, peer: &Peer) -> Option<String> {
    let host = only_host(head)?;
    match base_url {
        Some(base_url) => Some(base_url.to_owned()),
        None => at(host, head, peer).map(|reached| reached.origin()),
    }
}

/// As [`origin`], without a configured base URL.
pub(super) fn reached(head: &Parts, peer: &Peer) -> Option<Reached> {
    at(only_host(head)?, head, peer)
}

/// Returns the `Host`, if there is one; `None` if there are two.
fn only_host(head: &Parts) -> Option<Option<&HeaderValue>> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => None,
        (host, None) => Some(host),
    }
}

fn at(host: Option<&HeaderValue>, head: &Parts, peer: &Peer) -> Option<Reached> {
    let authority = match host {
        Some(host) => usable(host.to_str().ok()?)?,
        None => of_target(&head.uri).or_else(|| of_connection(head.version, peer))?,
    };
    let own = if peer.is_tls { "https" } else { "http" };
    if !peer.is_trusted {
        return Some(Reached { authority, scheme: own });
    }
    let outside = forwarded_header::host(&head.headers).and_then(usable);
    let scheme = forwarded_scheme(&head.headers).unwrap_or(own);
    Some(Reached { authority: outside.unwrap_or(authority), scheme })
}

fn of_target(uri: &Uri) -> Option<Authority> {
    uri.authority().and_then(|authority| usable(authority.as_str()))
}

fn of_connection(version: Version, peer: &Peer) -> Option<Authority> {
    usable(&peer.local.filter(|_| version <= Version::HTTP_10)?.to_string())
}

fn usable(host: &str) -> Option<Authority> {
    let authority: Authority = Some(host).filter(|host| host.len() <= MAX_HOST_BYTES)?.parse().ok()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    plain.then_some(authority)
}

fn forwarded_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let proto = forwarded_header::proto(headers)?;
    ["https", "http"].into_iter().find(|scheme| proto.eq_ignore_ascii_case(scheme))
}
