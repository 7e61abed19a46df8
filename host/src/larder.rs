//! A running server.

use std::{
    fs::File,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use larder_metrics::{Health, Metrics, Source};

use larder_common::TenantName;
use larder_otlp::Exporter;
use larder_rules::Asker;

use crate::{
    config::ListenAddress,
    descriptors::Shares,
    exchange::{ExchangeError, ExchangeHandle},
    management::ManagementListener,
    message::QuotaUsage,
    registry::{Registry, SiteTls},
    server::{ConnectionUsage, LarderService, Running, Tenancy},
    sweep::Janitor,
    trace::TraceFiles,
};

/// How long the last writes may take at the end, when a database or bucket hangs.
const LAST_WRITES: Duration = Duration::from_millis(2500);
/// How long the last export of traces and metrics may take: a successor waits for it.
const LAST_EXPORT: Duration = Duration::from_millis(1500);

/// What exchanges policy and rules is asked by.
#[derive(Clone)]
pub(crate) struct Exchanges {
    pub(crate) policy: ExchangeHandle,
    pub(crate) rules: ExchangeHandle,
    pub(crate) shadow: ExchangeHandle,
}

/// A running server. Dropping it does not stop it: call [`Larder::stop`].
pub struct Larder {
    pub(crate) running: Running,
    pub(crate) janitor: Janitor,
    pub(crate) management: Option<ManagementListener>,
    pub(crate) exchanges: Exchanges,
    pub(crate) shares: Shares,
    /// `None` where there is one tenant.
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) metrics: Arc<Metrics>,
    /// What a scrape asks.
    pub(crate) _gauges: Arc<dyn Source>,
    pub(crate) health: Arc<Health>,
    /// Those of the tenant `default`.
    pub(crate) rules: Asker,
    /// Where traces are written, if they are.
    pub(crate) trace: Option<TraceFiles>,
    /// What sends to a collector, if anything is.
    pub(crate) otlp: Option<Exporter>,
    /// Of the data directory; released when the process has ended or this is dropped.
    pub(crate) _lock: File,
}

/// A certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// Whose it is; `None`: the server's.
    pub tenant: Option<TenantName>,
    /// When it ends, in seconds since 1970; `None` where that cannot be told.
    pub not_after_s: Option<u64>,
}

impl Larder {
    /// Returns the address and port that it listens on; `None` if it has no listener, or it is a Unix
    /// socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.address().and_then(ListenAddress::tcp)
    }

    /// Returns where it listens; `None` if it has no listener.
    #[must_use]
    pub fn listen_address(&self) -> Option<&ListenAddress> {
        self.running.address()
    }

    /// Returns the certificates that are served at the moment: the server's own, and those of
    /// tenants.
    #[must_use]
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let registry = self.tenancy.as_ref().map(|tenancy| &*tenancy.registry);
        served_certificates(self.running.tls(), registry)
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

    /// Returns what asks the rules of the tenant `default`. By it others are put in force: tokens that
    /// are known are then asked about again.
    #[must_use]
    pub fn rules(&self) -> &Asker {
        &self.rules
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

    /// Looks now whether the files of the policy and the rules have changed, which is otherwise done
    /// every two seconds. Returns at once; the log says what has come of it.
    pub fn reload(&self) {
        self.exchanges.policy.look();
        self.exchanges.rules.look();
        self.exchanges.shadow.look();
    }

    /// Puts another policy in force: a WebAssembly component of the cache world, in binary form. It is
    /// loaded and tried first. Requests in flight finish with the earlier one. It holds until the next
    /// exchange, or until the server ends.
    ///
    /// # Errors
    /// [`ExchangeError`] when it cannot be used: the earlier one stays.
    pub async fn exchange_policy(&self, component: Vec<u8>) -> Result<(), ExchangeError> {
        self.exchanges.policy.put(component).await
    }

    /// Lets requests in flight finish within the configured limit, and persists what is in memory,
    /// for up to 2.5 s; a collector of OpenTelemetry gets 1.5 s more. Connections that arrive meanwhile are
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
        if let Some(trace) = self.trace {
            trace.flush();
        }
        if self.otlp.is_some_and(|otlp| !otlp.stop(LAST_EXPORT)) {
            tracing::warn!("the last traces and metrics could not be exported in time");
        }
    }
}

/// Returns the certificates of a server and of its tenants.
pub(crate) fn served_certificates(
    own: Option<&SiteTls>,
    registry: Option<&Registry>,
) -> Vec<ServedCertificate> {
    let of_tenants = registry.map(Registry::all).unwrap_or_default();
    let of_tenants =
        of_tenants.iter().filter_map(|tenant| Some((Some(tenant.name.clone()), tenant.site.as_ref()?)));
    let served = own.map(|site| (None, site)).into_iter().chain(of_tenants);
    served.map(|(tenant, site)| ServedCertificate { tenant, not_after_s: site.tls.not_after_s() }).collect()
}
