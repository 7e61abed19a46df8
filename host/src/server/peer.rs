//! The two ends of a connection, and whether the other one is a trusted proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use larder_common::TenantName;

use super::forwarded_header;
use crate::registry::ClientCheck;

/// The two ends of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The other end: a client, or a proxy in front.
    pub(super) address: IpAddr,
    /// This end; `None` where the connection is an embedding program's.
    pub(super) local: Option<SocketAddr>,
    /// Whether the other end is a trusted proxy, whose `Forwarded` and `X-Forwarded-*` fields are
    /// believed.
    pub(super) is_trusted: bool,
    /// Whose listener accepted the connection, if it is one tenant's.
    pub(super) listener: Option<TenantName>,
    /// Whether the connection has TLS.
    pub(super) is_tls: bool,
    /// By whom its client was checked.
    pub(super) check: ClientCheck,
}

impl Peer {
    /// `client` and `local` are `None` for a Unix socket, whose client counts as one at this machine's
    /// own address.
    pub(super) fn new(client: Option<SocketAddr>, local: Option<SocketAddr>, trusted: &[IpNet]) -> Self {
        let address = client.map_or(Ipv4Addr::LOCALHOST.into(), |client| client.ip().to_canonical());
        let check = if client.is_none() { ClientCheck::Local } else { ClientCheck::Unchecked };
        let is_trusted = is_in(trusted, address);
        Self { address, local, is_trusted, listener: None, is_tls: false, check }
    }

    /// The same over TLS.
    pub(super) fn with_tls(self, check: ClientCheck) -> Self {
        Self { is_tls: true, check, ..self }
    }

    /// The same on a tenant's own listener.
    pub(super) fn at(self, listener: Option<TenantName>) -> Self {
        Self { listener, ..self }
    }

    /// The client of an embedding program, which may know its address.
    pub(super) fn of_caller(address: Option<IpAddr>, trusted: &[IpNet]) -> Self {
        let address = address.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.to_canonical());
        let (is_trusted, check) = (is_in(trusted, address), ClientCheck::Local);
        Self { address, local: None, is_trusted, listener: None, is_tls: false, check }
    }

    /// Returns the client's address: that of the connection, or the one that trusted proxies
    /// forward.
    pub(super) fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
        if !self.is_trusted {
            return self.address;
        }
        forwarded_header::client(headers, |address| is_in(trusted, address)).unwrap_or(self.address)
    }
}

pub(super) fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Returns what is counted as one client: an IPv4 address, or the /64 of an IPv6 address, in which
/// a machine has any number of addresses.
pub(super) fn client_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
