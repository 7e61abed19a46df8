//! The HTTP server: one thread that accepts, and one single-threaded runtime and guest for each core.
//!
//! Read top-down: [`Listener::open`] opens the listener, or takes it over from the process before (`handover.rs`);
//! `acceptor.rs` accepts connections, `connections.rs` says which of them may stay, `worker.rs` is a thread that serves,
//! `connection.rs` speaks HTTP on one connection, `respond.rs` is the path of a request. Knows no route: what a request means
//! is the guest's to say.

mod acceptor;
mod admission;
mod connection;
mod connections;
mod forwarded;
mod handover;
mod listen;
mod origin;
mod peer;
mod respond;
mod share;
mod watched;
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

use self::{
    acceptor::{Acceptor, Lane},
    admission::Admission,
    connections::{Connections, Limits},
    handover::Offer,
};
pub use self::{admission::Capacity, connections::ConnectionUsage};
use crate::{engine::Policy, message::Usage, services::Services};

/// The bounds that the server keeps to.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Most connections at once.
    pub connections: usize,
    /// Most connections at once of one client.
    pub connections_per_client: usize,
    /// Most connections that were told to make room and have not ended yet.
    pub leaving: usize,
    /// Most requests in the works at once.
    pub requests: usize,
    /// Longest head of a request, in bytes.
    pub header_bytes: usize,
    /// Longest wait for the head of a new connection's first request.
    pub header_wait: Duration,
    /// Longest pause between two requests.
    pub keep_alive: Duration,
    /// Longest silence in the middle of a request, in either direction.
    pub idle: Duration,
    /// How long requests in the works may take to finish after the signal to stop.
    pub drain: Duration,
}

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where a running server offers its listener, and this one will: the data directory.
    pub data: PathBuf,
    /// How many threads.
    pub threads: usize,
    /// Where clients reach the server, where that is configured: scheme and authority.
    pub base_url: Option<String>,
    /// Proxies whose word on whom they had a request from counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Its bounds.
    pub bounds: Bounds,
    /// What it has for requests.
    pub capacity: Capacity,
}

/// A listener, not accepting yet: who connects waits.
pub struct Listener {
    socket: TcpListener,
    source: ListenerSource,
}

/// Where a listener is from.
enum ListenerSource {
    Own,
    /// A supervisor's: it outlives this process.
    Inherited,
    /// The running server's, which sees by this connection that its successor lives.
    Taken(UnixStream),
}

impl Listener {
    /// Opens a listener on an address that nobody has.
    ///
    /// # Errors
    /// When the address cannot be had; `AddrInUse` where somebody else listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: listen::listen(address)?, source: ListenerSource::Own })
    }

    /// Uses the listener that a supervisor opened.
    #[must_use]
    pub fn inherited(socket: TcpListener) -> Self {
        Self { socket, source: ListenerSource::Inherited }
    }

    /// Shares the listener of the server that runs on this data directory. `None` where there is none, or it has another
    /// address.
    #[must_use]
    pub fn take_over(data: &Path, address: SocketAddr) -> Option<Self> {
        let handover::Taken { listener, tie } = handover::take(data, address)?;
        Some(Self { socket: listener, source: ListenerSource::Taken(tie) })
    }
}

/// A server that listens but does not accept yet.
pub struct Server {
    settings: ServerSettings,
    listener: Listener,
    address: SocketAddr,
}

/// A server at work.
pub struct Running {
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
    pub fn new(settings: ServerSettings, listener: Listener) -> io::Result<Self> {
        let address = listener.socket.local_addr()?;
        Ok(Self { settings, listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to accept. The data directory must be this process's.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self, policy: &Policy, services: &Services) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let bounds = &self.settings.bounds;
        let connections = Connections::new(Limits {
            connections: bounds.connections,
            per_client: bounds.connections_per_client,
            leaving: bounds.leaving,
            requests: bounds.requests,
        });
        let drain = bounds.drain;
        let shared = admission::Shared::new(self.settings.capacity);
        let mut admissions = Vec::new();
        let settings = Arc::new(self.settings);
        let (mut threads, mut lanes) = (Vec::new(), Vec::new());
        for number in 0..settings.threads {
            let (lane, inbox) = Lane::new();
            lanes.push(lane);
            let admission = Admission::new(&shared);
            admissions.push(admission.clone());
            let worker = worker::Worker {
                inbox,
                policy: policy.clone(),
                services: services.clone(),
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
            lanes,
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

/// Offers the listener to a successor, where the data directory takes a Unix socket.
fn offer(data: &Path) -> Option<Offer> {
    Offer::open(data)
        .inspect_err(|error| tracing::debug!(%error, "cannot offer the listener to a successor"))
        .ok()
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what is taken of each room, over all threads. Reserves of connections do not count.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        admission::sum(&self.admissions)
    }

    /// What of the bounds on connections and requests is used.
    #[must_use]
    pub fn connections(&self) -> ConnectionUsage {
        self.connections.usage()
    }

    /// Lets the requests in the works finish within the bound, and returns when all threads have ended. Connections between
    /// two requests close at once. Who connects meanwhile is left to the successor, or a supervisor's next process; where
    /// there is neither, one request of each is still answered as long as there are earlier ones in the works.
    pub fn stop(self) {
        self.connections.drain(Instant::now() + self.drain);
        let _ = self.stop.send(true);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
