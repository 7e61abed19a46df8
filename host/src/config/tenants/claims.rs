//! What only one tenant can have: hosts, addresses, issuers.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
};

use larder_common::TenantName;

use super::{TenantConfig, host_name};
use crate::config::{ConfigError, Settings, listen::overlap};

/// Which hosts, addresses and issuers are whose.
pub(super) struct Claims {
    hosts: BTreeMap<String, TenantName>,
    /// `None`: that of the server itself.
    addresses: Vec<(SocketAddr, Option<TenantName>)>,
    issuers: BTreeMap<String, TenantName>,
}

impl Claims {
    /// What the configuration of the server claims.
    pub(super) fn of_server(server: &Settings) -> Result<Self, ConfigError> {
        let setting = |problem| ConfigError::Setting { setting: "tenants.hosts".to_owned(), problem };
        let hosts = server.tenants.hosts.iter().map(|host| Ok((host_name(host)?, TenantName::default())));
        let hosts = hosts.collect::<Result<_, String>>().map_err(setting)?;
        Ok(Self { hosts, addresses: vec![(server.server.listen, None)], issuers: BTreeMap::new() })
    }

    /// Notes what a tenant claims, all of it or nothing.
    pub(super) fn claim(&mut self, tenant: &TenantConfig) -> Result<(), ConfigError> {
        let contradiction = |what: &str, other: &TenantName| {
            ConfigError::Contradiction(format!(
                "{what} is claimed by the tenants {other} and {}",
                tenant.name
            ))
        };
        let issuers = tenant.settings.auth.issuers.iter().map(|issuer| issuer.issuer.as_str());
        let issuers: Vec<_> = issuers.filter(|_| tenant.own.by_issuer).collect();
        for host in &tenant.own.hosts {
            if let Some(other) = self.hosts.get(host) {
                return Err(contradiction(&format!("the host {host}"), other));
            }
        }
        for address in &tenant.own.listen {
            match self.addresses.iter().find(|(other, _)| overlap(*other, *address)) {
                None => {}
                Some((_, Some(other))) => {
                    return Err(contradiction(&format!("the address {address}"), other));
                }
                Some((own, None)) => {
                    return Err(ConfigError::Contradiction(format!(
                        "tenant.listen has {address}, but the server itself listens on {own}"
                    )));
                }
            }
        }
        for issuer in &issuers {
            if let Some(other) = self.issuers.get(*issuer) {
                return Err(contradiction(&format!("the issuer {issuer}"), other));
            }
        }
        self.note(tenant, issuers);
        Ok(())
    }

    fn note(&mut self, tenant: &TenantConfig, issuers: Vec<&str>) {
        let name = &tenant.name;
        self.hosts.extend(tenant.own.hosts.iter().map(|host| (host.clone(), name.clone())));
        let addresses = tenant.own.listen.iter();
        self.addresses.extend(addresses.map(|address| (*address, Some(name.clone()))));
        for issuer in issuers {
            if let Entry::Vacant(place) = self.issuers.entry(issuer.to_owned()) {
                place.insert(name.clone());
            }
        }
    }
}
