//! The section `proxy`: through which proxies this server reaches others.

use http::Uri;
use serde::{Deserialize, Serialize};

use super::{ConfigError, effective::Provenances, optional, secret::Secret};

/// Outgoing proxies. Their URLs may hold passwords.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// For `http` URLs; unset: `all`.
    #[serde(with = "optional")]
    pub http: Option<Secret>,
    /// For `https` URLs; unset: `all`.
    #[serde(with = "optional")]
    pub https: Option<Secret>,
    /// For both.
    #[serde(with = "optional")]
    pub all: Option<Secret>,
    /// Hosts that are asked directly, separated by commas: names, with all below them, addresses,
    /// networks, or `*`.
    pub no: String,
}

impl Proxy {
    /// The proxy for `http` URLs.
    #[must_use]
    pub fn for_http(&self) -> Option<&Secret> {
        self.http.as_ref().or(self.all.as_ref())
    }

    /// The proxy for `https` URLs.
    #[must_use]
    pub fn for_https(&self) -> Option<&Secret> {
        self.https.as_ref().or(self.all.as_ref())
    }
}

/// Checks that the proxies can be used, where any host is asked through one.
pub(super) fn check(proxy: &Proxy, provenances: &Provenances) -> Result<(), ConfigError> {
    if proxy.no.trim() == "*" {
        return Ok(());
    }
    for (name, url) in [("proxy.http", &proxy.http), ("proxy.https", &proxy.https), ("proxy.all", &proxy.all)]
    {
        let Some(problem) = url.as_ref().and_then(|url| problem(url.expose())) else { continue };
        return Err(ConfigError::Setting { setting: provenances.name(name), problem: problem.to_owned() });
    }
    Ok(())
}

/// What is wrong with the URL of a proxy, which is not shown: it may hold a password. Without a
/// scheme, `http` is meant.
fn problem(url: &str) -> Option<&'static str> {
    let parsed: Option<Uri> = url.parse().ok();
    let has_host = parsed.as_ref().and_then(Uri::host).is_some_and(|host| !host.is_empty());
    match parsed.as_ref().map(|url| url.scheme_str().unwrap_or("http")) {
        Some("http" | "https") if has_host => None,
        Some(scheme) if scheme.starts_with("socks") => Some(
            "is a SOCKS proxy; only http:// and https:// proxies are supported (set NO_PROXY=* to go without a proxy)",
        ),
        _ => Some("must be like http://user:password@proxy.example:3128"),
    }
}
