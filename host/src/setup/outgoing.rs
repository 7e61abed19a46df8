//! Outgoing requests: proxies, and the upstream.

use std::{sync::Arc, time::Duration};

use http::Uri;
use rustls::ClientConfig;

use super::exposed;
use crate::{
    config::Settings,
    net::{Proxies, Upstream},
};

/// The proxies for outgoing requests.
pub(super) fn proxies(settings: &Settings) -> Proxies {
    let proxy = &settings.proxy;
    Proxies::new(exposed(proxy.for_http()), exposed(proxy.for_https()), &proxy.no)
}

/// The service for requests that are not for the cache; `None` without one.
pub(super) fn upstream(settings: &Settings, tls: Arc<ClientConfig>, proxies: Proxies) -> Option<Upstream> {
    let connect_timeout = Duration::from_millis(settings.upstream.connect_timeout_ms);
    let uri: Uri = settings.upstream.url.as_ref()?.parse().ok()?;
    let parts = uri.into_parts();
    Some(Upstream { scheme: parts.scheme?, authority: parts.authority?, connect_timeout, tls, proxies })
}
