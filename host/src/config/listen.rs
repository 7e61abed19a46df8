//! The address to listen on: `127.0.0.1:3000`, `localhost:3000`, `:3000` for all addresses, or the
//! port alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer, de::Error};

/// Where the server listens where the configuration names no address: on this machine only.
pub(super) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

const FORMS: &str =
    "it must be like 127.0.0.1:3000, localhost:3000, :3000 (all addresses) or 3000 (this machine only)";

/// Reads an address. A host name is looked up once, here; of its addresses one of IPv4 is
/// preferred.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    of_value(&toml::Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads a list of addresses, each as [`deserialize`].
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let values = Vec::<toml::Value>::deserialize(deserializer)?;
    values.iter().map(of_value).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// Reads an address.
pub(super) fn of_value(value: &toml::Value) -> Result<SocketAddr, String> {
    match value {
        toml::Value::String(text) => parse(text.trim()),
        toml::Value::Integer(port) => parse(&port.to_string()),
        other => Err(format!("is of type {}; {FORMS}", other.type_str())),
    }
}

/// Returns whether two listeners on these addresses would be in each other's way.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        // The system's default: IPv4 is served there, too.
        IpAddr::V6(address) => address.is_unspecified(),
        IpAddr::V4(address) => address.is_unspecified() && narrow.is_ipv4(),
    };
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (first == second || covers(first, second) || covers(second, first))
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
