//! The tenants besides `default`: which there are, and whose a request is.
//!
//! What a tenant needs is made at its first request ([`Registered::tenant`]); until then it is a
//! name, its settings and its policy, which tenants share where it is the same component.

mod registered;
mod reload;
mod site_tls;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use larder_common::TenantName;
use parking_lot::RwLock;
use tokio::sync::Notify;

pub(crate) use registered::{Description, MakeTenant, Registered};
pub(crate) use reload::{Reload, Removal};
pub(crate) use site_tls::{ClientCheck, SiteTls};

use crate::config::ListenAddress;

/// What precedes the name of a tenant in the path of a URL, where its host does not say whose it
/// is.
const PATH_MARK: &str = "/@";

/// The tenants that are served.
pub(crate) struct Registry {
    /// Hosts of the tenant `default`.
    default_hosts: HashSet<String>,
    served: RwLock<Arc<Served>>,
    /// Increases whenever they change.
    version: AtomicU64,
    /// Notified then.
    changed: Notify,
}

/// The tenants at one time.
#[derive(Default)]
pub(crate) struct Served {
    by_name: BTreeMap<TenantName, Arc<Registered>>,
    by_host: HashMap<String, Arc<Registered>>,
    by_issuer: HashMap<String, Arc<Registered>>,
    /// Certificates of tenants' own, by host without a port.
    site_by_host: HashMap<String, SiteTls>,
}

/// Whose a request is.
pub(crate) enum Whose {
    /// That of the tenant `default`.
    Default,
    /// That of a tenant which its host or its listener names.
    Hosts(Arc<Registered>),
    /// That of a tenant which the token or the URL names, so its URLs have to, too.
    Named(Arc<Registered>),
    /// No tenant's.
    Nobody,
}

impl Registry {
    /// Makes a registry without tenants. `default_hosts` are as [`Served::new`] wants hosts.
    #[must_use]
    pub(crate) fn new(default_hosts: impl IntoIterator<Item = String>) -> Self {
        Self {
            default_hosts: default_hosts.into_iter().collect(),
            served: RwLock::default(),
            version: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Replaces the tenants. Requests in flight go on with the ones that they began with.
    pub(crate) fn replace(&self, served: Served) {
        *self.served.write() = Arc::new(served);
        self.version.fetch_add(1, Relaxed);
        self.changed.notify_one();
    }

    /// Returns once the tenants have changed since the last call. For one waiter.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns a number that is another one whenever the tenants have changed.
    #[must_use]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// Returns the tenants, in the order of their names.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<Registered>> {
        self.served.read().by_name.values().cloned().collect()
    }

    /// Returns the addresses of listeners that are one tenant's each.
    #[must_use]
    pub(crate) fn listeners(&self) -> BTreeMap<ListenAddress, TenantName> {
        let served = self.served.read();
        let of = |tenant: &Arc<Registered>| {
            let (listen, name) = (tenant.listen.clone(), tenant.name.clone());
            listen.into_iter().map(move |address| (address, name.clone()))
        };
        served.by_name.values().flat_map(of).collect()
    }

    /// Returns the TLS of a tenant's own, if it has some.
    #[must_use]
    pub(crate) fn site_of(&self, tenant: &TenantName) -> Option<SiteTls> {
        self.served.read().by_name.get(tenant)?.site.clone()
    }

    /// Returns the TLS of the tenant with this host (in lower case, without a port), if it has some of
    /// its own.
    #[must_use]
    pub(crate) fn site_of_host(&self, host: &str) -> Option<SiteTls> {
        let served = self.served.read();
        served.site_by_host.get(host.strip_suffix('.').unwrap_or(host)).cloned()
    }

    /// Returns whether this one is still served, and not another one of its name.
    #[must_use]
    pub(crate) fn is_current(&self, registered: &Arc<Registered>) -> bool {
        let served = self.served.read();
        served.by_name.get(&registered.name).is_some_and(|current| Arc::ptr_eq(current, registered))
    }

    /// Determines whose a request is. `listener` is the tenant on whose own listener it came: then it
    /// is that tenant's, unless its authority (host, and port if it has one) is another one's.
    /// Else it is by its authority, else by the tenant that the path names, else by the issuer of its
    /// token, which is not verified yet: the tenant's own verifier does that.
    pub(crate) fn whose(
        &self,
        listener: Option<&TenantName>,
        authority: &str,
        path: &str,
        issuer: impl FnOnce() -> Option<String>,
    ) -> Whose {
        let authority = in_lower_case(authority);
        let host = without_port(&authority);
        let served = self.served.read();
        let of_host = served.by_host.get(&*authority).or_else(|| served.by_host.get(host));
        let is_defaults = || self.default_hosts.contains(&*authority) || self.default_hosts.contains(host);
        match (listener, of_host) {
            (Some(own), Some(tenant)) if tenant.name != *own => Whose::Nobody,
            (_, Some(tenant)) => Whose::at_its_own(tenant, path),
            (Some(_), None) if is_defaults() => Whose::Nobody,
            (Some(own), None) => {
                served.by_name.get(own).map_or(Whose::Nobody, |tenant| Whose::at_its_own(tenant, path))
            }
            (None, None) if is_defaults() => Whose::Default,
            (None, None) => served.of_path_or_issuer(path, issuer),
        }
    }
}

impl Whose {
    /// That of a tenant which its host or its listener names. URLs that it got elsewhere may name it,
    /// too.
    fn at_its_own(tenant: &Arc<Registered>, path: &str) -> Self {
        let is_named =
            tenant.is_by_issuer() && in_path(path).is_some_and(|(name, _)| name == tenant.name.as_str());
        if is_named { Self::Named(tenant.clone()) } else { Self::Hosts(tenant.clone()) }
    }
}

impl Served {
    /// Puts tenants together. Hosts are in lower case, without a dot at the end; those and issuers
    /// belong to one tenant each.
    #[must_use]
    pub(crate) fn new(tenants: impl IntoIterator<Item = Arc<Registered>>) -> Self {
        let mut served = Self::default();
        for tenant in tenants {
            if let Some(site) = &tenant.site {
                let hosts = tenant.hosts().map(|host| (without_port(host).to_owned(), site.clone()));
                served.site_by_host.extend(hosts);
            }
            served.by_host.extend(tenant.hosts().map(|host| (host.to_owned(), tenant.clone())));
            let issuers = tenant.issuers().map(|issuer| issuer.trim_end_matches('/').to_owned());
            served.by_issuer.extend(issuers.map(|issuer| (issuer, tenant.clone())));
            served.by_name.insert(tenant.name.clone(), tenant);
        }
        served
    }

    fn of_path_or_issuer(&self, path: &str, issuer: impl FnOnce() -> Option<String>) -> Whose {
        let tenant = match in_path(path) {
            Some((name, _)) => TenantName::parse(name)
                .ok()
                .and_then(|name| self.by_name.get(&name))
                .filter(|tenant| tenant.is_by_issuer()),
            None if self.by_issuer.is_empty() => None,
            None => issuer().and_then(|issuer| self.by_issuer.get(issuer.trim_end_matches('/'))),
        };
        tenant.map_or(Whose::Nobody, |tenant| Whose::Named(tenant.clone()))
    }
}

/// Returns the name of a tenant at the beginning of a path, and the rest of the path.
pub(crate) fn in_path(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PATH_MARK)?;
    let end = rest.find('/')?;
    Some((&rest[..end], &rest[end..]))
}

/// Returns the origin of URLs that name their tenant.
pub(crate) fn origin_of(origin: &str, name: &TenantName) -> String {
    format!("{origin}{PATH_MARK}{name}")
}

/// Returns an authority as hosts are compared.
fn in_lower_case(authority: &str) -> Cow<'_, str> {
    if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(authority.to_ascii_lowercase())
    } else {
        Cow::Borrowed(authority)
    }
}

/// Returns the host of an authority, without a dot at the end.
fn without_port(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        // Not a part of an IPv6 address.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests;
