//! The HTTP server: one thread that accepts, and one single-threaded runtime and guest for each
//! core.
//!
//! Top-down: [`Listener::open`] opens the listener, or takes it over from the running process
//! (`handover.rs`); `acceptor.rs` accepts connections, `connections.rs` limits them, `worker.rs` is
//! a worker thread, `connection.rs` speaks HTTP on one connection, `respond.rs` is the path of a
//! request. Knows no route: the guest decides what a request means.

mod acceptor;
mod admission;
mod buffer_share;
mod connection;
mod connections;
mod forwarded_header;
mod handover;
mod listen;
mod origin;
mod peer;
mod respond;
mod response_body;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use ipnet::IpNet;
use tokio::{sync::watch, time::Instant};

pub(crate) use self::admission::Capacity;
pub use self::connections::ConnectionUsage;
use self::{
    acceptor::{Acceptor, WorkerQueue},
    admission::Admission,
    connections::{ConnectionLimits, Connections},
    handover::Offer,
};
use crate::{engine::Policy, message::QuotaUsage, tenant::Tenant};

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

/// The settings of the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// The data directory, where a running server offers its listener to its successor.
    pub data: PathBuf,
    /// Number of worker threads.
    pub threads: usize,
    /// The configured origin at which clients reach the server: scheme and authority.
    pub base_url: Option<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Its limits.
    pub bounds: ServerBounds,
    /// Its resources for requests.
    pub capacity: Capacity,
}

/// A listener that does not accept yet: connections wait in the backlog.
pub(crate) struct Listener {
    socket: TcpListener,
    source: ListenerSource,
}

/// Where a listener comes from.
enum ListenerSource {
    Own,
    /// Opened by a supervisor: it outlives this process.
    Inherited,
    /// Shared by the running server, which sees by this connection that its successor lives.
    Taken(UnixStream),
}

impl Listener {
    /// Opens a listener.
    ///
    /// # Errors
    /// When the address cannot be bound; `AddrInUse` when another process listens there.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: listen::listen(address)?, source: ListenerSource::Own })
    }

    /// Uses the listener that a supervisor opened.
    #[must_use]
    pub(crate) fn inherited(socket: TcpListener) -> Self {
        Self { socket, source: ListenerSource::Inherited }
    }

    /// Shares the listener of the server that runs on this data directory. Returns `None` if there
    /// is none, or it has another address.
    #[must_use]
    pub(crate) fn take_over(data: &Path, address: SocketAddr) -> Option<Self> {
        let handover::Taken { listener, tie } = handover::take(data, address)?;
        Some(Self { socket: listener, source: ListenerSource::Taken(tie) })
    }
}

/// A server that listens but does not accept yet.
pub(crate) struct Server {
    settings: ServerSettings,
    listener: Listener,
    address: SocketAddr,
}

/// A running server.
pub(crate) struct Running {
    address: SocketAddr,
    drain: Duration,
    connections: Arc<Connections>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    admissions: Vec<Admission>,
    _predecessor: Option<UnixStream>,
}

impl Server {
    /// Makes a server on a listener.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(crate) fn new(settings: ServerSettings, listener: Listener) -> io::Result<Self> {
        let address = listener.socket.local_addr()?;
        Ok(Self { settings, listener, address })
    }

    /// Starts to accept. The data directory must belong to this process.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(self, policy: &Policy, tenant: &Arc<Tenant>) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let bounds = &self.settings.bounds;
        let connections = Connections::new(ConnectionLimits {
            connections: bounds.connections,
            per_client: bounds.connections_per_client,
            leaving: bounds.leaving,
            requests: bounds.requests,
        });
        let drain = bounds.drain;
        let shared = admission::SharedQuotas::new(self.settings.capacity);
        let mut admissions = Vec::new();
        let settings = Arc::new(self.settings);
        let (mut threads, mut queues) = (Vec::new(), Vec::new());
        for number in 0..settings.threads {
            let (queue, inbox) = WorkerQueue::new();
            queues.push(queue);
            let admission = Admission::new(&shared);
            admissions.push(admission.clone());
            let worker = worker::Worker {
                inbox,
                policy: policy.clone(),
                tenant: tenant.clone(),
                settings: settings.clone(),
                connections: connections.clone(),
                admission,
            };
            threads.push(spawn(format!("larder-{number}"), move || worker.run())?);
        }
        let Listener { socket: listener, source } = self.listener;
        let acceptor = Acceptor {
            listener,
            is_inherited: matches!(source, ListenerSource::Inherited),
            offer: offer(&settings.data),
            queues,
            settings,
            connections: connections.clone(),
            stopped,
        };
        threads.push(spawn("larder-accept".to_owned(), move || acceptor.run())?);
        let _predecessor = match source {
            ListenerSource::Taken(tie) => Some(tie),
            ListenerSource::Own | ListenerSource::Inherited => None,
        };
        Ok(Running { address: self.address, drain, connections, stop, threads, admissions, _predecessor })
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
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
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

    /// Lets the requests in flight finish within [`ServerBounds::drain`], and returns when all
    /// threads have ended. Idle connections close at once. New connections are left to the
    /// successor, or to a supervisor's next process. Without either, new connections get one
    /// request each for as long as earlier requests are in flight.
    pub(crate) fn stop(self) {
        self.connections.drain(Instant::now() + self.drain);
        let _ = self.stop.send(true);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
