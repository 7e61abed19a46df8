//! What the janitor does for the tenants besides `default`: it follows which there are, flushes the
//! new entries of those that had a request, and deletes what removed ones have left.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    fs,
    sync::Arc,
    time::Duration,
};

use larder_common::{TenantName, causes::chain};
use larder_index::{Index, IndexError};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{PAGE, janitor::persist, removal};
use crate::{
    capacity::Evictor,
    registry::{Registered, Registry, Reload},
    retention::DurabilityTracker,
    tenant::Tenant,
};

/// How often the tenants' files are looked at.
const WATCH: Duration = Duration::from_secs(2);

/// Where the janitor finds the tenants besides `default`.
pub(crate) struct OtherTenants {
    pub(crate) registry: Arc<Registry>,
    pub(crate) reload: Arc<dyn Reload>,
    /// The tenants that were made, each once.
    pub(crate) made: mpsc::UnboundedReceiver<Arc<Registered>>,
}

/// The tenants that had a request, and all that there are.
pub(super) struct OpenTenants {
    source: Option<(Arc<Registry>, Arc<dyn Reload>)>,
    open: RefCell<BTreeMap<TenantName, OpenTenant>>,
}

/// A tenant that had a request.
struct OpenTenant {
    tenant: Arc<Tenant>,
    flusher: JoinHandle<()>,
    evictor: Option<JoinHandle<()>>,
}

impl OpenTenant {
    /// Replaces the evictor: by one with other limits.
    fn set_evictor(&mut self, evictor: Option<JoinHandle<()>>) {
        if let Some(before) = std::mem::replace(&mut self.evictor, evictor) {
            before.abort();
        }
    }
}

impl Drop for OpenTenant {
    fn drop(&mut self) {
        self.flusher.abort();
        self.set_evictor(None);
    }
}

impl OpenTenants {
    pub(super) fn new(
        others: Option<OtherTenants>,
    ) -> (Self, Option<mpsc::UnboundedReceiver<Arc<Registered>>>) {
        let (source, made) = match others {
            Some(OtherTenants { registry, reload, made }) => (Some((registry, reload)), Some(made)),
            None => (None, None),
        };
        (Self { source, open: RefCell::default() }, made)
    }

    /// Returns those that had a request.
    pub(super) fn open(&self) -> Vec<Arc<Tenant>> {
        self.open.borrow().values().map(|open| open.tenant.clone()).collect()
    }

    /// Returns all that are served.
    pub(super) fn all(&self) -> Vec<Arc<Registered>> {
        self.source.as_ref().map(|(registry, _)| registry.all()).unwrap_or_default()
    }

    /// Returns those that are served and have anything in the database. What never had a request is
    /// not made for a sweep.
    pub(super) async fn all_with_rows(&self, index: &dyn Index) -> Result<Vec<Arc<Registered>>, IndexError> {
        let mut all = self.all();
        if all.is_empty() {
            return Ok(all);
        }
        let mut known = HashSet::new();
        let mut after = None;
        loop {
            let page = index.list_tenants(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            known.extend(page);
        }
        all.retain(|registered| known.contains(&registered.name));
        Ok(all)
    }

    /// Flushes the new entries of each tenant from its first request on. Never returns.
    pub(super) async fn follow(&self, made: Option<mpsc::UnboundedReceiver<Arc<Registered>>>) {
        if let Some(mut made) = made {
            while let Some(registered) = made.recv().await {
                // It is being made at this moment, by who has sent it: this waits for that.
                if let Ok(tenant) = registered.tenant().await {
                    self.add(&registered, tenant);
                }
            }
        }
        std::future::pending::<()>().await;
    }

    fn add(&self, registered: &Registered, tenant: &Arc<Tenant>) {
        let name = &registered.name;
        let evictor =
            Evictor::of(&registered.policy, tenant).map(|evictor| tokio::task::spawn_local(evictor.run()));
        let mut open = self.open.borrow_mut();
        match open.get_mut(name) {
            // Its settings changed; where its entries are did not.
            Some(known) if Arc::ptr_eq(&known.tenant.durability, &tenant.durability) => {
                known.tenant = tenant.clone();
                known.set_evictor(evictor);
            }
            _ => {
                let (storage, index) = (tenant.storage.clone(), tenant.index.clone());
                let durability: Arc<DurabilityTracker> = tenant.durability.clone();
                let flusher =
                    tokio::task::spawn_local(async move { durability.run_flusher(storage, index).await });
                let before =
                    open.insert(name.clone(), OpenTenant { tenant: tenant.clone(), flusher, evictor });
                // Its entries are in another storage from now on.
                if let Some(before) = before {
                    tokio::task::spawn_local(async move { persist(&before.tenant).await });
                }
            }
        }
    }

    /// Looks for changes of the tenants. Never returns.
    pub(super) async fn watch(&self) {
        let Some((_, reload)) = &self.source else { return std::future::pending().await };
        let mut ticks = interval(WATCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            reload.clone().reload().await;
            self.close_gone().await;
            self.remove(&**reload).await;
        }
    }

    /// Persists what tenants have in memory that are not served any more, and forgets them.
    async fn close_gone(&self) {
        let served: Vec<_> = self.all().into_iter().map(|registered| registered.name.clone()).collect();
        let gone: Vec<_> = {
            let mut open = self.open.borrow_mut();
            open.extract_if(.., |name, _| !served.contains(name)).map(|(_, open)| open).collect()
        };
        for open in gone {
            persist(&open.tenant).await;
        }
    }

    /// Deletes the entries of removed tenants. What fails is tried again.
    async fn remove(&self, reload: &dyn Reload) {
        for removal in reload.removals().await {
            let name = &removal.name;
            match removal::remove(&*removal.storage, &*removal.index).await {
                Ok(None) => {}
                Ok(Some(report)) => {
                    let (entries, uploads, bytes) = (report.entries, report.uploads, report.bytes);
                    tracing::info!(tenant = %name, entries, uploads, bytes, "the tenant is removed");
                    if let Err(error) = fs::remove_file(&removal.mark) {
                        let mark = removal.mark.display();
                        tracing::error!(%mark, error = chain(&error), "cannot delete the mark of a removed tenant");
                    }
                }
                Err(error) => {
                    tracing::error!(tenant = %name, error = chain(&error), "cannot remove the tenant yet, retrying");
                }
            }
        }
    }
}
