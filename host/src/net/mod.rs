//! Outgoing HTTP: the client, the certificates it trusts, the proxies it goes through, and small fetches.
//!
//! Used by `auth` (key sets of token issuers) and by the upstream forwarder. Knows nothing of tokens, of the cache, or of
//! the guest.

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
