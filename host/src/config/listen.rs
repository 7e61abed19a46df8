//! The address to listen on: `127.0.0.1:3000`, `localhost:3000`, `:3000` for all addresses, the port
//! alone, or `unix:/run/larder.sock`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Where the server listens where the configuration names no address: on this machine only.
pub(super) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

const FORMS: &str = "it must be like 127.0.0.1:3000, localhost:3000, :3000 (all addresses), 3000 (this machine only) or \
                     unix:/run/larder.sock";
/// What the path of a Unix socket begins with.
const UNIX: &str = "unix:";
/// Longest path of a Unix socket, in bytes: less than the kernel's 107.
const MAX_PATH_BYTES: usize = 100;

/// Where a listener is. As text like the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Returns the address and port; `None` for a Unix socket.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Returns whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().is_loopback())
    }

    /// Returns whether it is any free port, which nobody else can name.
    #[must_use]
    pub fn is_any_port(&self) -> bool {
        self.tcp().is_some_and(|address| address.port() == 0)
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A host name is looked up once, here; of its addresses one of IPv4 is preferred.
impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        of_value(&toml::Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads the address of a listener that is no Unix socket.
pub(super) fn tcp_of_value(value: &toml::Value) -> Result<SocketAddr, String> {
    let address = of_value(value)?;
    address.tcp().ok_or_else(|| format!("is `{address}`; it must be an address and a port"))
}

fn of_value(value: &toml::Value) -> Result<ListenAddress, String> {
    match value {
        toml::Value::String(text) => parse(text.trim()),
        toml::Value::Integer(port) => parse(&port.to_string()),
        other => Err(format!("is of type {}; {FORMS}", other.type_str())),
    }
}

/// Returns whether two listeners on these addresses would be in each other's way.
pub(super) fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => overlap_in_tcp(*one, *other),
        (one, other) => one == other,
    }
}

fn overlap_in_tcp(one: SocketAddr, other: SocketAddr) -> bool {
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

fn parse(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix(UNIX) {
        Some(path) => parse_path(path).map_err(|problem| format!("is `{text}`; {problem}")),
        None => parse_tcp(text).map(ListenAddress::Tcp),
    }
}

fn parse_path(text: &str) -> Result<ListenAddress, String> {
    let path = Path::new(text);
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(is_plain) || text.ends_with('/') {
        return Err(format!("the path must be absolute and without `..`, like {UNIX}/run/larder.sock"));
    }
    if text.len() > MAX_PATH_BYTES {
        return Err(format!(
            "the path of a Unix socket may have {MAX_PATH_BYTES} bytes, and has {}",
            text.len()
        ));
    }
    // In one spelling: the same path is the same listener.
    Ok(ListenAddress::Unix(path.components().collect()))
}

fn parse_tcp(text: &str) -> Result<SocketAddr, String> {
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
