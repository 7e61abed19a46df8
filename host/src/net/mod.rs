//! Outgoing HTTP: the client, the certificates that it trusts, the proxies that it uses, small
//! fetches, and the forwarder to the upstream. Knows nothing of tokens, the cache, or the guest.

mod client;
mod connector;
pub(crate) mod fetch;
mod tls;
mod upstream;

pub(crate) use client::{ClientOptions, HttpsClient, https_client};
pub(crate) use connector::FirstHop;
pub(crate) use fetch::{Fetch, HttpFetch};
pub(crate) use larder_common::Proxies;
pub use tls::TlsError;
pub(crate) use tls::client_config;
pub(crate) use upstream::{ForwardError, Forwarder, Upstream, is_hop_by_hop, remove_hop_by_hop};

#[cfg(test)]
mod tests;
