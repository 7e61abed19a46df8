//! The configured proxies for outgoing requests.

use std::{fmt, sync::Arc};

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// Hosts that are never reached through a proxy: this machine, and the metadata services of clouds,
/// which respond only to direct requests.
const ALWAYS_DIRECT: &str =
    "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,fd00:ec2::254,metadata.google.internal";

/// The proxies by the scheme of the target URL. Proxy URLs may contain passwords, which `Debug` and
/// [`Self::describe`] omit.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no: String,
    matcher: Option<Arc<Matcher>>,
}

impl Proxies {
    /// Takes the URLs of the proxies for `http` and `https` targets. `no` lists the hosts that are
    /// reached directly, separated by commas: names (which include their subdomains), addresses,
    /// networks, or `*`.
    #[must_use]
    pub fn new(http: Option<String>, https: Option<String>, no: &str) -> Self {
        let no = [no, ALWAYS_DIRECT].join(",");
        let given = |proxy: &Option<String>| proxy.clone().unwrap_or_default();
        let matcher = (http.is_some() || https.is_some())
            .then(|| Matcher::builder().http(given(&http)).https(given(&https)).no(no.clone()).build());
        Self { http, https, no, matcher: matcher.map(Arc::new) }
    }

    /// Returns the URL of the proxy for this scheme. It may contain a password.
    #[must_use]
    pub fn of_scheme(&self, scheme: &str) -> Option<&str> {
        if scheme == "https" { self.https.as_deref() } else { self.http.as_deref() }
    }

    /// Returns the hosts that are reached directly, separated by commas.
    #[must_use]
    pub fn direct_hosts(&self) -> &str {
        &self.no
    }

    /// Returns the `Proxy-Authorization` value of a request to an `http` URL. For `https` it is
    /// sent when the tunnel is opened instead.
    #[must_use]
    pub fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let plain = url.scheme_str() == Some("http");
        self.intercept(url).filter(|_| plain)?.basic_auth().cloned()
    }

    /// Returns the proxy for this URL.
    #[must_use]
    pub fn intercept(&self, url: &Uri) -> Option<Intercept> {
        self.matcher.as_ref()?.intercept(url)
    }

    /// Describes the proxies without passwords. Returns `None` if there are none.
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
