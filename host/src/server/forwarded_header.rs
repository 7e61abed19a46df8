//! The header fields of proxies in front: `Forwarded` (RFC 7239), else `X-Forwarded-For`, `-Proto`
//! and `-Host`.
//!
//! Parsed by hand: only lists, pairs and quotes of the grammar are needed, and the only crate for
//! it has dependencies that nothing else here needs.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header::FORWARDED};

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";

/// Returns the scheme that the client used, as the first of several proxies saw it.
pub(super) fn proto(headers: &HeaderMap) -> Option<&str> {
    of_first(headers, "proto").or_else(|| first(headers, PROTO))
}

/// Returns the host and port that the client requested.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    of_first(headers, "host").or_else(|| first(headers, HOST))
}

/// Returns the address nearest to this server that is not a trusted proxy's. Those before it may be
/// forged.
pub(super) fn client(headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let standard = headers.contains_key(FORWARDED);
    let name = if standard { FORWARDED.as_str() } else { FOR };
    let mut furthest = None;
    for value in headers.get_all(name).iter().rev() {
        for item in value.to_str().ok()?.rsplit(',') {
            let node = if standard { pair(item, "for")? } else { item.trim() };
            let address = address(node)?;
            furthest = Some(address);
            if !is_trusted(address) {
                return furthest;
            }
        }
    }
    furthest
}

/// The first item of a list.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|item| !item.is_empty())
}

/// A parameter of the first element of `Forwarded`.
fn of_first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    pair(first(headers, FORWARDED.as_str())?, name)
}

/// The value of a parameter of one element, such as `for="[2001:db8::1]:4711";proto=https`.
fn pair<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// An address with or without a port, in brackets or not.
fn address(node: &str) -> Option<IpAddr> {
    let bare = || node.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let address = bare().or_else(|| Some(node.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}
