//! The host's capabilities, as the interfaces reach them.

use std::sync::Arc;

use crate::{
    auth::{TokenVerifier, UrlSigner},
    clock::Clock,
    index::Index,
    net::{Forwarder, Upstream},
    pressure::Pressure,
    retention::{DurabilityTracker, UsageTracker},
    storage::Storage,
};

/// What the component may know of the configuration.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// How long an upload URL is good for, in milliseconds.
    pub upload_url_ms: u64,
    /// How long a download URL is good for, in milliseconds.
    pub download_url_ms: u64,
    /// How long a reservation stands without a byte, in milliseconds.
    pub idle_upload_ms: u64,
    /// How long an entry stands unused, in milliseconds.
    pub unused_entry_ms: Option<u64>,
    /// Largest entry, in bytes.
    pub max_entry_bytes: Option<u64>,
    /// Where `@actions/cache` is sent for downloads in protocol version 2: scheme and authority.
    pub parallel_download_origin: Option<String>,
    /// How long URLs of the storage itself are good that clients are given, in milliseconds; none: they are given none.
    pub direct_url_ms: Option<u64>,
}

/// Everything behind the interfaces. All but the forwarder is shared by all threads.
#[derive(Clone)]
pub struct Services {
    /// Where the bytes are.
    pub storage: Arc<dyn Storage>,
    /// What there is.
    pub index: Arc<dyn Index>,
    /// Who sends a request.
    pub tokens: Arc<TokenVerifier>,
    /// URLs that prove themselves.
    pub signer: Arc<UrlSigner>,
    /// Uses that wait to be written down.
    pub usage: Arc<UsageTracker>,
    /// Entries that wait to be durable.
    pub durability: Arc<DurabilityTracker>,
    /// Whether a disk is full.
    pub pressure: Arc<Pressure>,
    /// The time.
    pub clock: Clock,
    /// What the component may know of the configuration.
    pub settings: PolicySettings,
    /// Where requests go that are not for the cache.
    pub upstream: Option<Upstream>,
    /// This thread's connections to the upstream.
    pub forwarder: Option<Arc<Forwarder>>,
}

impl Services {
    /// The services for a thread of its own: with its own connections to the upstream.
    #[must_use]
    pub fn for_thread(&self) -> Arc<Self> {
        let forwarder = self.upstream.clone().map(|upstream| Arc::new(Forwarder::new(upstream)));
        Arc::new(Self { forwarder, ..self.clone() })
    }
}
