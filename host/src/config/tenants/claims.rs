//! What only one tenant can have: hosts, addresses, issuers, a storage.

use std::collections::{BTreeMap, btree_map::Entry};

use larder_common::TenantName;

use super::{RemovedTenant, TenantConfig, host_name, own_storage::Place};
use crate::{
    config::{ConfigError, ListenAddress, Settings, Storage, listen::overlap},
    descriptors::MAX_OWN_STORAGES,
};

/// Which hosts, addresses, issuers and storages are whose.
pub(super) struct Claims {
    hosts: BTreeMap<String, TenantName>,
    /// `None`: that of the server itself.
    addresses: Vec<(ListenAddress, Option<TenantName>)>,
    issuers: BTreeMap<String, TenantName>,
    /// Each with whose it is, for an error.
    places: Vec<(Place, String)>,
    /// Storages of tenants' own.
    own_storages: usize,
}

impl Claims {
    /// What the configuration of the server claims.
    pub(super) fn of_server(server: &Settings) -> Result<Self, ConfigError> {
        let setting = |problem| ConfigError::Setting { setting: "tenants.hosts".to_owned(), problem };
        let hosts = server.tenants.hosts.iter().map(|host| Ok((host_name(host)?, TenantName::default())));
        let hosts = hosts.collect::<Result<_, String>>().map_err(setting)?;
        let Settings { data, storage, tenants, database, .. } = server;
        let folders = [Some(data), tenants.dir.as_ref(), database.sqlite.path.as_ref()];
        let folders = folders.into_iter().flatten().map(|path| Place::folder(path));
        let places = folders.chain([Place::of(storage)]).map(|place| (place, "the server".to_owned()));
        Ok(Self {
            hosts,
            addresses: vec![(server.server.listen.clone(), None)],
            issuers: BTreeMap::new(),
            places: places.collect(),
            own_storages: 0,
        })
    }

    /// Notes the storages that are still deleted from.
    pub(super) fn note_removed(&mut self, removed: &[RemovedTenant]) {
        for RemovedTenant { name, storage, .. } in removed {
            if let Ok(Some(storage)) = storage {
                self.places.push((Place::of(storage), format!("the tenant {name}, which is being removed")));
                self.own_storages += 1;
            }
        }
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
            match self.addresses.iter().find(|(other, _)| overlap(other, address)) {
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
        let own = tenant.own_storage.as_ref();
        let place = own.map(|storage| self.free_place(storage)).transpose()?;
        self.note(tenant, issuers, place);
        Ok(())
    }

    /// Returns where a storage is, if it is nobody else's.
    fn free_place(&self, storage: &Storage) -> Result<Place, ConfigError> {
        if self.own_storages >= MAX_OWN_STORAGES {
            return Err(ConfigError::Contradiction(format!(
                "at most {MAX_OWN_STORAGES} tenants of a server may have a storage of their own"
            )));
        }
        let place = Place::of(storage);
        match self.places.iter().find(|(other, _)| place.overlaps(other)) {
            None => Ok(place),
            Some((other, owner)) => Err(ConfigError::Contradiction(format!(
                "the section storage says {place}, but {other} is of {owner}, and neither may be in the other"
            ))),
        }
    }

    fn note(&mut self, tenant: &TenantConfig, issuers: Vec<&str>, place: Option<Place>) {
        let name = &tenant.name;
        self.own_storages += usize::from(place.is_some());
        self.places.extend(place.map(|place| (place, format!("the tenant {name}"))));
        self.hosts.extend(tenant.own.hosts.iter().map(|host| (host.clone(), name.clone())));
        let addresses = tenant.own.listen.iter();
        self.addresses.extend(addresses.map(|address| (address.clone(), Some(name.clone()))));
        for issuer in issuers {
            if let Entry::Vacant(place) = self.issuers.entry(issuer.to_owned()) {
                place.insert(name.clone());
            }
        }
    }
}
