//! Where a client reached the server, and who it is.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, SocketAddr};

use http::{Version, request::Parts};
use ipnet::IpNet;

use super::{origin::origin, peer::Peer};

fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn trusted() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]
}

fn peer(address: &str) -> Peer {
    let address = SocketAddr::new(address.parse().unwrap(), 50000);
    Peer::new(Some(address), Some("192.0.2.1:3000".parse().unwrap()), &trusted())
}

fn client() -> Peer {
    peer("203.0.113.9")
}

fn proxy() -> Peer {
    peer("10.1.2.3")
}

#[test]
fn the_configured_base_url_wins() {
    let head = head("/", &[("host", "other")]);
    assert_eq!(origin(Some("https://cache.example"), &head, &client()).unwrap(), "https://cache.example");
}

#[test]
fn else_the_host_field_counts_with_the_scheme_that_a_proxy_names() {
    assert_eq!(origin(None, &head("/", &[("host", "h:3000")]), &client()).unwrap(), "http://h:3000");
    let behind_tls = head("/", &[("host", "h"), ("x-forwarded-proto", "HTTPS")]);
    assert_eq!(origin(None, &behind_tls, &proxy()).unwrap(), "https://h");
    let in_target = head("http://from.http2:80/x", &[]);
    assert_eq!(origin(None, &in_target, &client()).unwrap(), "http://from.http2:80");
}

/// Fault 27: lists, the host that the client asked for, and the standard's own field.
#[test]
fn a_trusted_proxy_says_what_the_client_asked_for() {
    for (fields, expected) in [
        (&[("x-forwarded-proto", "https,http")][..], "https://inside"),
        (&[("x-forwarded-proto", " https , http")], "https://inside"),
        (&[("x-forwarded-host", "cache.example")], "http://cache.example"),
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "cache.example:8443, proxy.internal")],
            "https://cache.example:8443",
        ),
        (&[("forwarded", "for=192.0.2.7;proto=https;host=cache.example")], "https://cache.example"),
        (
            &[("forwarded", "For=1.2.3.4; Proto=HTTPS; Host=\"c.example:1\", for=10.0.0.2;proto=http")],
            "https://c.example:1",
        ),
        (
            &[("forwarded", "proto=https;host=a.example"), ("x-forwarded-host", "b.example")],
            "https://a.example",
        ),
        (&[("x-forwarded-host", "user@evil"), ("x-forwarded-proto", "gopher")], "http://inside"),
        (&[("x-forwarded-host", ""), ("x-forwarded-proto", "")], "http://inside"),
        (&[("forwarded", ";;=,")], "http://inside"),
    ] {
        let mut all = vec![("host", "inside")];
        all.extend_from_slice(fields);
        assert_eq!(origin(None, &head("/", &all), &proxy()).unwrap(), expected, "{fields:?}");
        assert_eq!(origin(None, &head("/", &all), &client()).unwrap(), "http://inside", "{fields:?}");
    }
}

/// Fault 27: behind proxies the client is the last address that is not a proxy's.
#[test]
fn the_client_is_whom_trusted_proxies_name() {
    let of =
        |peer: Peer, fields: &[(&str, &str)]| peer.client(&head("/", fields).headers, &trusted()).to_string();
    assert_eq!(of(proxy(), &[]), "10.1.2.3");
    assert_eq!(of(client(), &[("x-forwarded-for", "1.2.3.4")]), "203.0.113.9", "not a proxy");
    assert_eq!(of(proxy(), &[("x-forwarded-for", "1.2.3.4")]), "1.2.3.4");
    assert_eq!(of(proxy(), &[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.9.9.9")]), "1.2.3.4");
    assert_eq!(of(proxy(), &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4")]), "1.2.3.4");
    assert_eq!(of(proxy(), &[("x-forwarded-for", "10.2.2.2, 10.3.3.3")]), "10.2.2.2");
    assert_eq!(of(proxy(), &[("x-forwarded-for", "unknown")]), "10.1.2.3");
    let ipv6 = "for=192.0.2.43, for=\"[2001:db9::17]:4711\", for=10.0.0.7";
    assert_eq!(of(proxy(), &[("forwarded", ipv6)]), "2001:db9::17");
    assert_eq!(of(peer("::ffff:10.1.2.3"), &[("x-forwarded-for", "1.2.3.4:99")]), "1.2.3.4");
}

/// A proxy that says nothing of the scheme is reached as this server is.
#[test]
fn a_connection_with_tls_gives_urls_with_https() {
    let own = |peer: Peer| peer.with_tls(crate::registry::ClientCheck::Unchecked);
    let of = |peer: Peer, fields: &[(&str, &str)]| {
        let mut all = vec![("host", "cache.example:8443")];
        all.extend_from_slice(fields);
        origin(None, &head("/", &all), &own(peer)).unwrap()
    };
    assert_eq!(of(client(), &[]), "https://cache.example:8443");
    assert_eq!(of(client(), &[("x-forwarded-proto", "http")]), "https://cache.example:8443", "not a proxy");
    assert_eq!(of(proxy(), &[]), "https://cache.example:8443");
    assert_eq!(of(proxy(), &[("x-forwarded-proto", "http")]), "http://cache.example:8443");
    assert_eq!(of(proxy(), &[("x-forwarded-proto", "gopher")]), "https://cache.example:8443");
    let reached = super::origin::reached(&head("/", &[("host", "h")]), &own(client())).unwrap();
    assert_eq!(reached.origin(), "https://h");
}

/// Whoever may open the socket is on this machine.
#[test]
fn the_client_of_a_unix_socket_counts_as_this_machine() {
    let local: Vec<ipnet::IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
    let peer = Peer::new(None, None, &local);
    assert!(peer.is_trusted && !peer.is_tls);
    assert_eq!(peer.check, crate::registry::ClientCheck::Local);
    let fields = [("host", "inside"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "cache.example")];
    assert_eq!(origin(None, &head("/", &fields), &peer).unwrap(), "https://cache.example");
    assert!(!Peer::new(None, None, &[]).is_trusted, "only if its address is trusted");
}

#[test]
fn a_host_that_is_none_is_refused() {
    let long = "h".repeat(300);
    for host in ["", "a b", "user@host", "h/path", "h\"x", long.as_str()] {
        assert_eq!(origin(None, &head("/", &[("host", host)]), &client()), None, "{host:?}");
    }
    assert_eq!(origin(None, &head("/", &[]), &client()), None);
}

/// Fault 29.
#[test]
fn two_hosts_are_a_contradiction_and_http_1_0_needs_none() {
    let two = head("/", &[("host", "a"), ("host", "a")]);
    assert_eq!(origin(None, &two, &client()), None);
    assert_eq!(origin(Some("https://cache.example"), &two, &client()), None);
    let mut old = head("/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(origin(None, &old, &client()).unwrap(), "http://192.0.2.1:3000");
}

#[test]
fn clients_of_one_ipv6_network_are_one() {
    let key = |text: &str| super::peer::client_key(text.parse::<IpAddr>().unwrap());
    assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::"));
    assert_ne!(key("2001:db8:1:2::"), key("2001:db8:1:3::"));
    assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
}
