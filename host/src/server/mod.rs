//! The HTTP server: one thread that accepts, and one single-threaded runtime and guest for each
//! core.
//!
//! Top-down: [`Listener::open`] opens the listener, or takes it over from the running process
//! (`handover.rs`); `listeners.rs` has all of them, `acceptor.rs` accepts connections,
//! `connections.rs` limits them, `worker.rs` is a worker thread, `connection.rs` speaks HTTP on one
//! connection (over `wire.rs`; `handshake.rs` is its beginning, `stream.rs` its socket), `respond.rs` is the path of a request. `service.rs` takes requests
//! from a program that embeds the server, and hands them to the same path. Knows no route: the guest
//! decides what a request means.

mod acceptor;
mod admission;
mod buffer_share;
mod connection;
mod connections;
mod forwarded_header;
mod handover;
mod handshake;
mod health;
mod listen;
mod listeners;
mod one_chunk;
mod origin;
mod peer;
mod respond;
mod response_body;
mod service;
mod socket_file;
mod stream;
mod tenant_guests;
mod tenant_route;
mod wire;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use ipnet::IpNet;
use larder_metrics::Health;
use larder_otlp::Tracer;
use larder_tls::Watch;
use tokio::{sync::watch, time::Instant};

use self::{
    acceptor::{Acceptor, WorkerQueue},
    admission::Admission,
    connections::{ConnectionLimits, Connections},
    handover::Offer,
    listen::ListenSocket,
    listeners::SharedListener,
    worker::RunningWorker,
};
pub(crate) use self::{admission::Capacity, tenant_guests::Tenancy};
pub use self::{
    connections::ConnectionUsage,
    service::{ClientAddress, LarderService, ResponseBody, ResponseFuture},
};
use crate::{
    config::{InheritedListener, ListenAddress, SocketMode},
    engine::PolicyInForce,
    management::ManagementOnMain,
    message::QuotaUsage,
    registry::{Registry, SiteTls},
    tenant::Tenant,
};

/// The limits of the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerBounds {
    /// Most connections at once.
    pub connections: usize,
    /// Most connections at once of one client.
    pub connections_per_client: usize,
    /// Most evicted connections that have not ended yet.
    pub leaving: usize,
    /// Most requests in flight.
    pub requests: usize,
    /// Longest head of a request, in bytes.
    pub header_bytes: usize,
    /// Longest wait for the head of a new connection's first request.
    pub header_wait: Duration,
    /// Longest pause between two requests.
    pub keep_alive: Duration,
    /// Longest silence in the middle of a request, in either direction.
    pub idle: Duration,
    /// How long requests in flight may take to finish after the signal to stop.
    pub drain: Duration,
}

impl ServerBounds {
    fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.connections,
            per_client: self.connections_per_client,
            leaving: self.leaving,
            requests: self.requests,
        }
    }
}

/// The settings of the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// The data directory, where a running server offers its listener to its successor.
    pub data: PathBuf,
    /// Whether the server is ready.
    pub health: Arc<Health>,
    /// What decides which requests are traced; `None`: none is.
    pub tracer: Option<Arc<Tracer>>,
    /// Number of worker threads.
    pub threads: usize,
    /// The configured origin at which clients reach the server: scheme and authority.
    pub base_url: Option<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS of its listener, and of tenants' listeners that have none of their own.
    pub tls: Option<SiteTls>,
    /// The mode of Unix sockets.
    pub socket_mode: SocketMode,
    /// Its limits.
    pub bounds: ServerBounds,
    /// Its resources for requests.
    pub capacity: Capacity,
}

/// A listener that does not accept yet: connections wait in the backlog.
pub(crate) struct Listener {
    socket: ListenSocket,
    /// Those of tenants that are open already.
    of_tenants: Vec<ListenSocket>,
    source: ListenerSource,
}

/// Where a listener comes from.
enum ListenerSource {
    Own,
    /// Opened by a supervisor: it outlives this process.
    Inherited,
    /// Shared by the running server, which sees by this connection that its successor lives.
    Taken {
        tie: UnixStream,
    },
}

impl Listener {
    /// Opens a listener.
    ///
    /// # Errors
    /// When the address cannot be bound; `AddrInUse` when another process listens there.
    pub(crate) fn open(address: &ListenAddress, mode: SocketMode) -> io::Result<Self> {
        let socket = ListenSocket::open(address, mode)?;
        Ok(Self { socket, of_tenants: Vec::new(), source: ListenerSource::Own })
    }

    /// Uses the listeners that a supervisor opened: the one at this address, else the first, is the
    /// server's own, and the others are for tenants. Returns `None` if there are none.
    #[must_use]
    pub(crate) fn inherited(all: Vec<InheritedListener>, address: &ListenAddress) -> Option<Self> {
        let mut all: Vec<ListenSocket> = all.into_iter().map(Into::into).collect();
        let is_own = |socket: &ListenSocket| socket.address().is_ok_and(|local| local == *address);
        let at = all.iter().position(is_own).unwrap_or(0);
        let socket = (at < all.len()).then(|| all.remove(at))?;
        Some(Self { socket, of_tenants: all, source: ListenerSource::Inherited })
    }

    /// Shares the listener of the server that runs on this data directory. Returns `None` if there
    /// is none, or it has another address.
    #[must_use]
    pub(crate) fn take_over(data: &Path, address: &ListenAddress) -> Option<Self> {
        let handover::Taken { listener, of_tenants, tie } = handover::take(data, address)?;
        Some(Self { socket: listener, of_tenants, source: ListenerSource::Taken { tie } })
    }
}

/// Whose requests a server responds to.
pub(crate) struct ServedTenants {
    /// The tenant `default`, and its policy.
    pub(crate) policy: PolicyInForce,
    pub(crate) tenant: Arc<Tenant>,
    /// The others; `None` where it is the only one.
    pub(crate) tenancy: Option<Tenancy>,
    /// The management API, where the main listener has it.
    pub(crate) management: Option<ManagementOnMain>,
}

/// A server that does not serve yet.
pub(crate) struct Server {
    settings: ServerSettings,
    /// `None`: requests come from the embedding program alone.
    listener: Option<Listener>,
    address: Option<ListenAddress>,
}

/// A running server.
pub(crate) struct Running {
    address: Option<ListenAddress>,
    tls: Option<SiteTls>,
    _watch: Option<Watch>,
    drain: Duration,
    connections: Arc<Connections>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    workers: Vec<Arc<RunningWorker>>,
    admissions: Vec<Admission>,
    health: Arc<Health>,
    _predecessor: Option<UnixStream>,
}

impl Server {
    /// Makes a server on a listener, or without one.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(crate) fn new(settings: ServerSettings, listener: Option<Listener>) -> io::Result<Self> {
        let address = listener.as_ref().map(|listener| listener.socket.address()).transpose()?;
        Ok(Self { settings, listener, address })
    }

    /// Starts to serve. The data directory must belong to this process.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(self, served: &ServedTenants) -> io::Result<Running> {
        let ServedTenants { policy, tenant, tenancy, management } = served;
        let Self { settings, listener, address } = self;
        let (stop, stopped) = watch::channel(false);
        let connections = Connections::new(settings.bounds.connection_limits());
        let (drain, health) = (settings.bounds.drain, settings.health.clone());
        let tls = settings.tls.clone();
        let watch = tls.iter().map(|site| Watch::start(vec![site.tls.clone()])).next().transpose()?;
        let shared = admission::SharedQuotas::new(settings.capacity);
        let mut admissions = Vec::new();
        let settings = Arc::new(settings);
        let (mut threads, mut queues) = (Vec::new(), Vec::new());
        let (running, started) = mpsc::channel();
        for number in 0..settings.threads {
            let (queue, inbox) = WorkerQueue::new();
            queues.push(queue);
            let admission = Admission::new(&shared);
            admissions.push(admission.clone());
            let worker = worker::Worker {
                running: running.clone(),
                inbox,
                policy: policy.clone(),
                tenant: tenant.clone(),
                tenancy: tenancy.clone(),
                management: management.clone(),
                settings: settings.clone(),
                connections: connections.clone(),
                admission,
            };
            threads.push(spawn(format!("larder-{number}"), move || worker.run())?);
        }
        drop(running);
        let workers: Vec<_> = started.iter().collect();
        if workers.len() < settings.threads {
            return Err(io::Error::other("a server thread has no runtime"));
        }
        let registry = tenancy.as_ref().map(|tenancy| tenancy.registry.clone());
        let Intake { thread, _predecessor } =
            Intake::start(listener, registry, queues, settings, connections.clone(), stopped)?;
        threads.push(thread);
        Ok(Running {
            address,
            tls,
            _watch: watch,
            drain,
            connections,
            stop,
            threads,
            workers,
            admissions,
            health,
            _predecessor,
        })
    }
}

/// What feeds the worker threads, or keeps them where the embedding program does.
struct Intake {
    thread: JoinHandle<()>,
    _predecessor: Option<UnixStream>,
}

impl Intake {
    fn start(
        listener: Option<Listener>,
        registry: Option<Arc<Registry>>,
        queues: Vec<WorkerQueue>,
        settings: Arc<ServerSettings>,
        connections: Arc<Connections>,
        stopped: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let Some(Listener { socket, of_tenants, source }) = listener else {
            let keep = move || acceptor::keep_workers(queues, &connections, stopped);
            return Ok(Self { thread: spawn("larder-keep".to_owned(), keep)?, _predecessor: None });
        };
        let is_inherited = matches!(source, ListenerSource::Inherited);
        let shared = |socket| SharedListener { socket, is_inherited };
        let _predecessor = match source {
            ListenerSource::Taken { tie } => Some(tie),
            ListenerSource::Own | ListenerSource::Inherited => None,
        };
        let (opening, opened) = mpsc::channel();
        let acceptor = Acceptor {
            listener: shared(socket),
            taken: of_tenants.into_iter().map(shared).collect(),
            registry,
            offer: offer(&settings.data),
            queues,
            settings,
            connections,
            stopped,
            opening,
        };
        let thread = spawn("larder-accept".to_owned(), move || acceptor.run())?;
        // Nothing is sent: it ends when all are open, or none can be.
        let _ = opened.recv();
        Ok(Self { thread, _predecessor })
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(work)
}

/// Offers the listener to a successor, if the data directory supports Unix sockets.
fn offer(data: &Path) -> Option<Offer> {
    Offer::open(data)
        .inspect_err(|error| tracing::debug!(%error, "cannot offer the listener to a successor"))
        .ok()
}

impl Running {
    /// Returns the address that it listens on.
    #[must_use]
    pub(crate) fn address(&self) -> Option<&ListenAddress> {
        self.address.as_ref()
    }

    /// Returns the TLS of the server itself.
    #[must_use]
    pub(crate) fn tls(&self) -> Option<&SiteTls> {
        self.tls.as_ref()
    }

    /// Returns the server as a service.
    #[must_use]
    pub(crate) fn service(&self) -> LarderService {
        LarderService::new(self.workers.clone(), self.connections.clone())
    }

    /// Returns the usage of each quota, summed over all threads, without the reserves of
    /// connections.
    #[must_use]
    pub(crate) fn usage(&self) -> Vec<QuotaUsage> {
        admission::sum(&self.admissions)
    }

    /// Returns how much of the limits on connections and requests is in use.
    #[must_use]
    pub(crate) fn connections(&self) -> ConnectionUsage {
        self.connections.usage()
    }

    /// Returns what tells how much of these limits is in use, for as long as it is kept.
    #[must_use]
    pub(crate) fn connection_gauge(&self) -> ConnectionGauge {
        ConnectionGauge(self.connections.clone())
    }

    /// Lets the requests in flight finish within [`ServerBounds::drain`], and returns when all
    /// threads have ended. Idle connections close at once. New connections are left to the
    /// successor, or to a supervisor's next process. Without either, new connections get one
    /// request each for as long as earlier requests are in flight.
    pub(crate) fn stop(self) {
        self.health.set_draining();
        self.connections.drain(Instant::now() + self.drain);
        let _ = self.stop.send(true);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Tells how much of the limits on connections and requests is in use.
pub(crate) struct ConnectionGauge(Arc<Connections>);

impl ConnectionGauge {
    /// Returns it, as of now.
    #[must_use]
    pub(crate) fn usage(&self) -> ConnectionUsage {
        self.0.usage()
    }
}
