//! Proxies for outgoing requests, as configured: which one is for a URL.

use std::{fmt, sync::Arc};

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// Hosts that are never asked through a proxy: this machine, and the metadata services of clouds, which answer nobody else.
const NEVER: &str =
    "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,fd00:ec2::254,metadata.google.internal";

/// The proxies by the scheme of what is asked for. Their URLs may hold passwords, which `Debug` and [`Self::describe`] leave out.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no: String,
    matcher: Option<Arc<Matcher>>,
}

impl Proxies {
    /// The proxies for `http` and for `https` URLs, each a URL of its own. `no` are the hosts that are asked directly: names,
    /// which count for what is below them, too, addresses, networks, or `*`; separated by commas.
    #[must_use]
    pub fn new(http: Option<String>, https: Option<String>, no: &str) -> Self {
        let no = [no, NEVER].join(",");
        let given = |proxy: &Option<String>| proxy.clone().unwrap_or_default();
        let matcher = (http.is_some() || https.is_some())
            .then(|| Matcher::builder().http(given(&http)).https(given(&https)).no(no.clone()).build());
        Self { http, https, no, matcher: matcher.map(Arc::new) }
    }

    /// The URL of the proxy for this scheme. May hold a password.
    #[must_use]
    pub fn of_scheme(&self, scheme: &str) -> Option<&str> {
        if scheme == "https" { self.https.as_deref() } else { self.http.as_deref() }
    }

    /// The hosts that are asked directly.
    #[must_use]
    pub fn direct_hosts(&self) -> &str {
        &self.no
    }

    /// What a request to this URL has to show its proxy. Through a tunnel it is shown when that is opened.
    #[must_use]
    pub fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let plain = url.scheme_str() == Some("http");
        self.intercept(url).filter(|_| plain)?.basic_auth().cloned()
    }

    /// The proxy for this URL.
    #[must_use]
    pub fn intercept(&self, url: &Uri) -> Option<Intercept> {
        self.matcher.as_ref()?.intercept(url)
    }

    /// Says which proxies there are, without passwords; nothing where there are none.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let shown = |scheme: &str| {
            let proxy = self.intercept(&format!("{scheme}://host.invalid/").parse().ok()?)?;
            Some(format!("{scheme} through {}", proxy.uri().to_string().trim_end_matches('/')))
        };
        let all: Vec<String> = ["http", "https"].into_iter().filter_map(shown).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.describe()).finish()
    }
}
