//! The guests of one thread, where there are several tenants: one for each tenant that had a
//! request on this thread.

use std::{collections::HashMap, sync::Arc};

use larder_common::TenantName;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    engine::{Guest, GuestTask, InstancePool},
    error::StartError,
    registry::{Registered, Registry},
    tenant::Tenant,
};

/// What the threads of a server with several tenants share.
#[derive(Clone)]
pub(crate) struct Tenancy {
    /// The tenants.
    pub(crate) registry: Arc<Registry>,
    /// The places of their instances.
    pub(crate) pool: Arc<InstancePool>,
}

/// The guests of one thread.
pub(super) struct TenantGuests {
    tenancy: Tenancy,
    guests: Mutex<Guests>,
    /// Runs what belongs on the thread of the guests.
    tasks: mpsc::UnboundedSender<GuestTask>,
}

#[derive(Default)]
struct Guests {
    /// The version of the registry by which those that are gone were dropped.
    version: u64,
    by_name: HashMap<TenantName, TenantGuest>,
}

/// A tenant's guest. It is the old one's when the tenant was changed, or its policy exchanged: the next
/// request gets another guest, and this one ends with its last call.
struct TenantGuest {
    registered: Arc<Registered>,
    /// Of the policy in force.
    number: u64,
    guest: Arc<Guest>,
}

impl TenantGuests {
    /// Must be called on the thread of the guests, inside its `LocalSet`.
    pub(super) fn new(tenancy: Tenancy) -> Self {
        let (tasks, mut waiting) = mpsc::unbounded_channel::<GuestTask>();
        tokio::task::spawn_local(async move {
            while let Some(task) = waiting.recv().await {
                tokio::task::spawn_local(task.run());
            }
        });
        Self { tenancy, guests: Mutex::default(), tasks }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.tenancy.registry
    }

    /// Returns a tenant and its guest on this thread, making what is not there.
    ///
    /// # Errors
    /// When the tenant cannot be made.
    pub(super) async fn of(
        &self,
        registered: &Arc<Registered>,
    ) -> Result<(Arc<Guest>, Arc<Tenant>), StartError> {
        let tenant = registered.tenant().await?;
        let mut guests = self.guests.lock();
        self.drop_gone(&mut guests);
        let number = registered.policy.number();
        let guest = match guests.by_name.get(&registered.name) {
            Some(known) if Arc::ptr_eq(&known.registered, registered) && known.number == number => {
                known.guest.clone()
            }
            _ => {
                let (guest, task) = registered.policy.current().pooled(tenant, &self.tenancy.pool);
                // Fails only at the end of the thread, whose requests are broken off.
                let _ = self.tasks.send(task);
                let guest = Arc::new(guest);
                let made = TenantGuest { registered: registered.clone(), number, guest: guest.clone() };
                guests.by_name.insert(registered.name.clone(), made);
                guest
            }
        };
        Ok((guest, tenant.clone()))
    }

    /// Drops the guests of tenants that are changed or gone. Their calls finish.
    fn drop_gone(&self, guests: &mut Guests) {
        let registry = &self.tenancy.registry;
        let version = registry.version();
        if guests.version != version {
            guests.version = version;
            guests.by_name.retain(|_, known| registry.is_current(&known.registered));
        }
    }
}
