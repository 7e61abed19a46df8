//! Outgoing HTTP: the client, the certificates that it trusts, the proxies that it uses, small
//! fetches, and the forwarder to the upstream. Knows nothing of tokens, the cache, or the guest.

mod client;
pub(crate) mod fetch;
mod first_hop;
mod forward;
mod tls;

pub(crate) use client::{ClientOptions, HttpsClient, https_client};
pub(crate) use fetch::{Fetch, HttpFetch};
pub(crate) use first_hop::FirstHop;
pub(crate) use forward::{ForwardError, Forwarder, Upstream, is_hop_by_hop, remove_hop_by_hop};
pub(crate) use larder_common::Proxies;
pub use tls::TlsError;
pub(crate) use tls::client_config;

#[cfg(test)]
mod tests;
