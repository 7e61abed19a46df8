//! Outgoing requests: proxies, and the upstream.

use std::{sync::Arc, time::Duration};

use http::Uri;
use rustls::ClientConfig;

use super::exposed;
use crate::{
    config::Settings,
    error::StartError,
    net::{Proxies, Upstream, client_config},
};

/// How outgoing requests are made, to whichever service.
pub(super) struct Outgoing {
    /// TLS settings: the trusted certificates, which are read once.
    pub(super) tls: Arc<ClientConfig>,
    /// The proxies.
    pub(super) proxies: Proxies,
}

impl Outgoing {
    /// Reads the certificates and the configured proxies.
    pub(super) fn new(settings: &Settings) -> Result<Self, StartError> {
        let proxy = &settings.proxy;
        Ok(Self {
            tls: Arc::new(client_config(settings.tls.ca_file.as_deref())?),
            proxies: Proxies::new(exposed(proxy.for_http()), exposed(proxy.for_https()), &proxy.no),
        })
    }

    /// The service for requests that are not for the cache; `None` without one.
    pub(super) fn upstream(&self, settings: &Settings) -> Option<Upstream> {
        let connect_timeout = Duration::from_millis(settings.upstream.connect_timeout_ms);
        let uri: Uri = settings.upstream.url.as_ref()?.parse().ok()?;
        let parts = uri.into_parts();
        let (tls, proxies) = (self.tls.clone(), self.proxies.clone());
        Some(Upstream { scheme: parts.scheme?, authority: parts.authority?, connect_timeout, tls, proxies })
    }
}
