//! The HTTP server: one single-threaded runtime, listener and guest for each core.
//!
//! Read top-down: [`Server::bind`] opens the listeners, `worker.rs` accepts connections, `connection.rs` speaks HTTP on one,
//! `respond.rs` is the path of a request. Knows no route: what a request means is the guest's to say.

mod admission;
mod connection;
mod listen;
mod origin;
mod respond;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use admission::Admission;
pub use admission::Capacity;
use tokio::sync::{Semaphore, watch};

use crate::{engine::Policy, message::Usage, services::Services};

/// The bounds that the server keeps to.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Most connections at once; more wait until one closes.
    pub connections: usize,
    /// Longest head of a request, in bytes.
    pub header_bytes: usize,
    /// Most bytes read from a connection ahead of whoever takes them.
    pub read_buffer_bytes: usize,
    /// Longest wait for the first bytes of a new connection.
    pub header_wait: Duration,
    /// Longest silence after that: between two requests, and in the middle of a body, in either direction.
    pub idle: Duration,
    /// How long requests under way may take to finish after the signal to stop.
    pub drain: Duration,
}

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many threads.
    pub threads: usize,
    /// Where clients reach the server, where that is configured: scheme and authority.
    pub base_url: Option<String>,
    /// Its bounds.
    pub bounds: Bounds,
    /// What it has for requests.
    pub capacity: Capacity,
}

/// A server that listens but does not accept yet.
pub struct Server {
    settings: ServerSettings,
    listeners: Vec<TcpListener>,
    address: SocketAddr,
}

/// A server at work.
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    admissions: Vec<Admission>,
}

impl Server {
    /// Opens a listener for each thread, all on one address.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(settings: ServerSettings) -> io::Result<Self> {
        let first = listen::listen(settings.listen)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..settings.threads {
            listeners.push(listen::listen(address)?);
        }
        Ok(Self { settings, listeners, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to accept.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self, policy: &Policy, services: &Services) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let connections = Arc::new(Semaphore::new(self.settings.bounds.connections));
        let shared = admission::Shared::new(self.settings.capacity);
        let mut admissions = Vec::new();
        let settings = Arc::new(self.settings);
        let mut workers = Vec::new();
        for (number, listener) in self.listeners.into_iter().enumerate() {
            let admission = Admission::new(&shared);
            admissions.push(admission.clone());
            let worker = worker::Worker {
                listener,
                policy: policy.clone(),
                services: services.clone(),
                settings: settings.clone(),
                connections: connections.clone(),
                admission,
                stopped: stopped.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("larder-{number}"));
            workers.push(thread.spawn(move || worker.run())?);
        }
        Ok(Running { address: self.address, stop, workers, admissions })
    }
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

    /// Stops accepting, lets the requests under way finish within the bound, and returns when all threads have ended.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}
