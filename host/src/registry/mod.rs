//! The tenants besides `default`: which there are, and whose a request is.
//!
//! What a tenant needs is made at its first request ([`Registered::tenant`]); until then it is a
//! name, its settings and its policy, which tenants share where it is the same component.

mod registered;
mod reload;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use larder_common::TenantName;
use parking_lot::RwLock;

pub(crate) use registered::{Description, MakeTenant, Registered};
pub(crate) use reload::{Reload, Removal};

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
}

/// The tenants at one time.
#[derive(Default)]
pub(crate) struct Served {
    by_name: BTreeMap<TenantName, Arc<Registered>>,
    by_host: HashMap<String, Arc<Registered>>,
    by_issuer: HashMap<String, Arc<Registered>>,
}

/// Whose a request is.
pub(crate) enum Whose {
    /// That of the tenant `default`.
    Default,
    /// That of a tenant which its host names.
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
        }
    }

    /// Replaces the tenants. Requests in flight go on with the ones that they began with.
    pub(crate) fn replace(&self, served: Served) {
        *self.served.write() = Arc::new(served);
        self.version.fetch_add(1, Relaxed);
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

    /// Returns whether this one is still served, and not another one of its name.
    #[must_use]
    pub(crate) fn is_current(&self, registered: &Arc<Registered>) -> bool {
        let served = self.served.read();
        served.by_name.get(&registered.name).is_some_and(|current| Arc::ptr_eq(current, registered))
    }

    /// Determines whose a request is: by its authority (host, and port if it has one), else by the
    /// tenant that the path names, else by the issuer of its token, which is not verified yet:
    /// the tenant's own verifier does that.
    pub(crate) fn whose(
        &self,
        authority: &str,
        path: &str,
        issuer: impl FnOnce() -> Option<String>,
    ) -> Whose {
        let (with_port, host) = forms_of(authority);
        let served = self.served.read();
        if let Some(tenant) = served.by_host.get(&with_port).or_else(|| served.by_host.get(&host)) {
            return Whose::Hosts(tenant.clone());
        }
        if self.default_hosts.contains(&with_port) || self.default_hosts.contains(&host) {
            return Whose::Default;
        }
        let tenant = match in_path(path) {
            Some((name, _)) => TenantName::parse(name)
                .ok()
                .and_then(|name| served.by_name.get(&name))
                .filter(|tenant| tenant.is_by_issuer()),
            None if served.by_issuer.is_empty() => None,
            None => issuer().and_then(|issuer| served.by_issuer.get(issuer.trim_end_matches('/'))),
        };
        tenant.map_or(Whose::Nobody, |tenant| Whose::Named(tenant.clone()))
    }
}

impl Served {
    /// Puts tenants together. Hosts are in lower case, without a dot at the end; those and issuers
    /// belong to one tenant each.
    #[must_use]
    pub(crate) fn new(tenants: impl IntoIterator<Item = Arc<Registered>>) -> Self {
        let mut served = Self::default();
        for tenant in tenants {
            served.by_host.extend(tenant.hosts().map(|host| (host.to_owned(), tenant.clone())));
            let issuers = tenant.issuers().map(|issuer| issuer.trim_end_matches('/').to_owned());
            served.by_issuer.extend(issuers.map(|issuer| (issuer, tenant.clone())));
            served.by_name.insert(tenant.name.clone(), tenant);
        }
        served
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

/// Returns an authority as hosts are compared: whole, and without its port.
fn forms_of(authority: &str) -> (String, String) {
    let whole = authority.to_ascii_lowercase();
    let host = match whole.rsplit_once(':') {
        // Not a part of an IPv6 address.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => &whole,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_owned();
    (whole, host)
}

#[cfg(test)]
mod tests;
