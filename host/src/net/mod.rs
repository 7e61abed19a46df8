//! Outgoing HTTP: the client, the certificates it trusts, and small fetches.
//!
//! Used by `auth` (key sets of token issuers) and by the upstream forwarder. Knows nothing of tokens, of the cache, or of
//! the guest.

mod client;
mod fetch;
mod forward;
mod tls;

pub use client::{ClientOptions, HttpsClient, https_client};
pub use fetch::{Fetch, FetchError, HttpFetch, MAX_RESPONSE_BYTES, TIMEOUT, allowed_url};
pub use forward::{ForwardError, Forwarder, Upstream, is_hop_by_hop, remove_hop_by_hop};
pub use tls::{TlsError, client_config};

#[cfg(test)]
mod tests;
