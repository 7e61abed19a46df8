//! Outgoing HTTP: the client, the certificates that it trusts, the proxies that it uses, small fetches, and the forwarder to the
//! upstream. Knows nothing of tokens, the cache, or the guest.

mod client;
mod fetch;
mod first_hop;
mod forward;
mod tls;

pub use client::{ClientOptions, HttpsClient, https_client};
pub use fetch::{Fetch, FetchError, HttpFetch, MAX_RESPONSE_BYTES, TIMEOUT};
pub use first_hop::FirstHop;
pub use forward::{ForwardError, Forwarder, Upstream, is_hop_by_hop, remove_hop_by_hop};
pub use larder_common::Proxies;
pub use tls::{TlsError, client_config};

#[cfg(test)]
mod tests;
