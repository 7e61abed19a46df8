//! The address to listen on: `127.0.0.1:3000`, `localhost:3000`, `:3000` for all addresses, or the
//! port alone.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer, de::Error};

/// Where the server listens where the configuration names no address: on this machine only.
pub(super) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

const FORMS: &str =
    "it must be like 127.0.0.1:3000, localhost:3000, :3000 (all addresses) or 3000 (this machine only)";

/// Reads an address. A host name is looked up once, here; of its addresses one of IPv4 is
/// preferred.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => parse(text.trim()),
        toml::Value::Integer(port) => parse(&port.to_string()),
        other => Err(format!("is of type {}; {FORMS}", other.type_str())),
    }
    .map_err(D::Error::custom)
}

fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = || format!("is `{text}`; {FORMS}");
    let (host, port) = text.rsplit_once(':').map_or((None, text), |(host, port)| (Some(host), port));
    let port: u16 = port.parse().map_err(|_| wrong())?;
    match host {
        None => Ok(SocketAddr::new(DEFAULT_LISTEN.ip(), port)),
        Some("" | "*") => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        // Such as an IPv6 address without its brackets.
        Some(host) if host.contains([':', '[', '/', ' ']) => Err(wrong()),
        Some(host) => {
            look_up(host, port).ok_or_else(|| format!("is `{text}`, but no address is known of `{host}`"))
        }
    }
}

fn look_up(host: &str, port: u16) -> Option<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().ok()?.collect();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}
