//! A running server.

use std::{
    fs::File,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use larder_metrics::{Health, Metrics};

use crate::{
    descriptors::Shares,
    management::ManagementListener,
    message::QuotaUsage,
    server::{ConnectionUsage, LarderService, Running, Tenancy},
    sweep::Janitor,
};

/// How long the last writes may take at the end, when a database or bucket hangs.
const LAST_WRITES: Duration = Duration::from_millis(2500);

/// A running server. Dropping it does not stop it: call [`Larder::stop`].
pub struct Larder {
    pub(crate) running: Running,
    pub(crate) janitor: Janitor,
    pub(crate) management: Option<ManagementListener>,
    pub(crate) shares: Shares,
    /// `None` where there is one tenant.
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    /// Of the data directory; released when the process has ended or this is dropped.
    pub(crate) _lock: File,
}

impl Larder {
    /// Returns the address that it listens on; `None` if it has no listener.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.address()
    }

    /// Returns the address of the management API; `None` if it has no listener of its own.
    #[must_use]
    pub fn management_address(&self) -> Option<SocketAddr> {
        self.management.as_ref().map(|listener| listener.address)
    }

    /// Returns the server as a service, for requests that reach the embedding program.
    #[must_use]
    pub fn service(&self) -> LarderService {
        self.running.service()
    }

    /// Returns how the process's file descriptors are divided up.
    #[must_use]
    pub fn shares(&self) -> Shares {
        self.shares
    }

    /// Returns what is counted: for a listener of your own, by [`metrics::routes`](larder_metrics::routes).
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Returns what tells whether the server is ready.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Returns the usage of each quota for requests.
    #[must_use]
    pub fn usage(&self) -> Vec<QuotaUsage> {
        self.running.usage()
    }

    /// Returns how much of the limits on connections and requests is in use.
    #[must_use]
    pub fn connections(&self) -> ConnectionUsage {
        self.running.connections()
    }

    /// Returns how many instances of policies the tenants besides `default` have at the moment;
    /// `None` where there are none.
    #[must_use]
    pub fn tenant_instances(&self) -> Option<usize> {
        self.tenancy.as_ref().map(|tenancy| tenancy.pool.taken())
    }

    /// Lets requests in flight finish within the configured limit, and persists what is in memory,
    /// for up to 2.5 s. Connections that arrive meanwhile are
    /// for the successor, if there is one, and refused otherwise.
    pub fn stop(self) {
        self.running.stop();
        if let Some(management) = self.management {
            management.stop();
        }
        let (ended, end) = mpsc::channel();
        let janitor = self.janitor;
        let last = std::thread::Builder::new().name("larder-last-writes".to_owned()).spawn(move || {
            janitor.stop();
            let _ = ended.send(());
        });
        if last.is_ok() && end.recv_timeout(LAST_WRITES) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("last-used times and durability could not be persisted in time");
        }
    }
}
