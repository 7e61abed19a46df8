//! A tenant that is served.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use larder_common::TenantName;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc};

use super::SiteTls;
use crate::{config::ListenAddress, engine::PolicyInForce, error::StartError, tenant::Tenant};

/// Makes what a tenant needs.
#[async_trait]
pub(crate) trait MakeTenant: Send + Sync + 'static {
    /// Makes it. Is called again after an error.
    ///
    /// # Errors
    /// When the database fails.
    async fn make(&self) -> Result<Tenant, StartError>;
}

/// What is known of a tenant before its first request.
pub(crate) struct Description {
    pub(crate) name: TenantName,
    /// In lower case, without a dot at the end.
    pub(crate) hosts: Vec<String>,
    /// Where the server listens for it alone.
    pub(crate) listen: Vec<ListenAddress>,
    /// TLS of its own.
    pub(crate) site: Option<SiteTls>,
    /// The issuers whose tokens choose it, at any host.
    pub(crate) issuers: Vec<String>,
    pub(crate) base_url: Option<String>,
    /// Most requests in flight.
    pub(crate) max_requests: usize,
    /// Most connections at once; `None`: half of all.
    pub(crate) max_connections: Option<usize>,
}

/// A tenant that is served. A change of its file makes another one.
pub(crate) struct Registered {
    pub(crate) name: TenantName,
    /// The configured origin at which clients reach it.
    pub(crate) base_url: Option<String>,
    pub(crate) policy: PolicyInForce,
    /// Where the server listens for it alone.
    pub(crate) listen: Vec<ListenAddress>,
    /// TLS of its own.
    pub(crate) site: Option<SiteTls>,
    /// Most connections at once; `None`: half of all.
    pub(crate) max_connections: Option<usize>,
    hosts: Vec<String>,
    issuers: Vec<String>,
    requests: Arc<Semaphore>,
    maker: Box<dyn MakeTenant>,
    tenant: OnceCell<Arc<Tenant>>,
    /// Who is told when it is made.
    made: mpsc::UnboundedSender<Arc<Self>>,
}

impl Registered {
    pub(crate) fn new(
        description: Description,
        policy: PolicyInForce,
        maker: Box<dyn MakeTenant>,
        made: mpsc::UnboundedSender<Arc<Self>>,
    ) -> Arc<Self> {
        let Description { name, hosts, listen, site, issuers, base_url, max_requests, max_connections } =
            description;
        let requests = Arc::new(Semaphore::new(max_requests));
        let tenant = OnceCell::new();
        Arc::new(Self {
            name,
            base_url,
            policy,
            listen,
            site,
            max_connections,
            hosts,
            issuers,
            requests,
            maker,
            tenant,
            made,
        })
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str)
    }

    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(String::as_str)
    }

    pub(super) fn is_by_issuer(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Returns what it needs, making it at the first call. Concurrent first calls make it once.
    ///
    /// # Errors
    /// When the database fails; the next call tries again.
    pub(crate) async fn tenant(self: &Arc<Self>) -> Result<&Arc<Tenant>, StartError> {
        let make = async {
            let tenant = Arc::new(self.maker.make().await?);
            // Fails only while the server stops.
            let _ = self.made.send(self.clone());
            Ok(tenant)
        };
        self.tenant.get_or_try_init(|| make).await
    }

    /// Returns what it needs, if that was made.
    pub(crate) fn opened(&self) -> Option<&Arc<Tenant>> {
        self.tenant.get()
    }

    /// Admits a request; `None` if too many are in flight.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.requests.clone().try_acquire_owned().ok()
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("name", &self.name).finish_non_exhaustive()
    }
}
