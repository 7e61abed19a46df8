//! The listeners: the server's own, and those of tenants, which come and go with their files.

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::{pending, poll_fn},
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use larder_common::TenantName;
use tokio::{
    net::{TcpListener, UnixListener},
    select,
    time::{Instant, sleep_until},
};

use super::{
    listen::ListenSocket,
    socket_file::SocketFile,
    stream::{Accepted, AcceptedSocket},
};
use crate::{
    config::{ListenAddress, SocketMode},
    descriptors::MAX_TENANT_LISTENERS,
    registry::Registry,
};

/// Pause before an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A connection, and whose listener accepted it if it is one tenant's.
pub(super) type AcceptedAt = (Accepted, Option<TenantName>);

/// All listeners of a server.
pub(super) struct Listeners {
    own: OpenListener,
    of_tenants: Vec<TenantListener>,
    registry: Option<Arc<Registry>>,
    /// Shared by the process before, which may have had other tenants.
    taken: Vec<SharedListener>,
    /// The mode of Unix sockets that are opened.
    mode: SocketMode,
    /// Addresses that could not be bound.
    missing: Vec<ListenAddress>,
    retry_at: Option<Instant>,
    /// The listener that is asked first.
    turn: Cell<usize>,
}

/// A listener for one tenant.
struct TenantListener {
    address: ListenAddress,
    tenant: TenantName,
    socket: OpenListener,
}

/// A listener that this process did not open.
pub(super) struct SharedListener {
    pub(super) socket: ListenSocket,
    /// Whether it outlives this process: a supervisor has it.
    pub(super) is_inherited: bool,
}

/// A listener of this runtime.
struct OpenListener {
    socket: RuntimeListener,
    /// Whether it outlives this process.
    is_inherited: bool,
    /// Of a Unix socket which does not.
    file: Option<SocketFile>,
}

enum RuntimeListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl OpenListener {
    fn new(SharedListener { socket, is_inherited }: SharedListener) -> io::Result<Self> {
        let file = match socket.address() {
            Ok(ListenAddress::Unix(path)) if !is_inherited => SocketFile::of(&path),
            _ => None,
        };
        socket.set_nonblocking()?;
        let socket = match socket {
            ListenSocket::Tcp(socket) => RuntimeListener::Tcp(TcpListener::from_std(socket)?),
            ListenSocket::Unix(socket) => RuntimeListener::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { socket, is_inherited, file })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.socket {
            RuntimeListener::Tcp(socket) => socket.poll_accept(cx).map(|accepted| {
                let (stream, client) = accepted?;
                let socket = AcceptedSocket::Tcp(stream.into_std()?);
                Ok(Accepted { socket, client: Some(client) })
            }),
            RuntimeListener::Unix(socket) => socket.poll_accept(cx).map(|accepted| {
                let (stream, _) = accepted?;
                Ok(Accepted { socket: AcceptedSocket::Unix(stream.into_std()?), client: None })
            }),
        }
    }

    /// Closes it: no more connections come. `drain` gets it, whose backlog would be reset.
    fn close(self, drain: impl FnOnce(&ListenSocket)) -> io::Result<()> {
        // First: who connects from now on is told so.
        if let Some(file) = self.file {
            file.remove();
        }
        let socket = match self.socket {
            RuntimeListener::Tcp(socket) => ListenSocket::Tcp(socket.into_std()?),
            RuntimeListener::Unix(socket) => ListenSocket::Unix(socket.into_std()?),
        };
        drain(&socket);
        Ok(())
    }
}

impl AsFd for OpenListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            RuntimeListener::Tcp(socket) => socket.as_fd(),
            RuntimeListener::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Listeners {
    /// Begins with the server's own, and with those that others have opened for tenants. Must be called
    /// in a runtime.
    pub(super) fn new(
        own: SharedListener,
        taken: Vec<SharedListener>,
        registry: Option<Arc<Registry>>,
        mode: SocketMode,
    ) -> io::Result<Self> {
        Ok(Self {
            own: OpenListener::new(own)?,
            of_tenants: Vec::new(),
            registry,
            taken,
            mode,
            missing: Vec::new(),
            retry_at: None,
            turn: Cell::default(),
        })
    }

    /// Accepts the next connection on any of them, in turn.
    pub(super) async fn accept(&self) -> io::Result<AcceptedAt> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<AcceptedAt>> {
        let count = self.of_tenants.len() + 1;
        let first = self.turn.get();
        for at in (0..count).map(|step| (first + step) % count) {
            let of_tenant = at.checked_sub(1).map(|at| &self.of_tenants[at]);
            let socket = of_tenant.map_or(&self.own, |listener| &listener.socket);
            if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                self.turn.set(at + 1);
                let tenant = of_tenant.map(|listener| listener.tenant.clone());
                return Poll::Ready(accepted.map(|accepted| (accepted, tenant)));
            }
        }
        Poll::Pending
    }

    /// Returns once [`Self::follow`] has something to do.
    pub(super) async fn changed(&self) {
        let Some(registry) = &self.registry else { return pending().await };
        let retry = async {
            match self.retry_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        select! {
            () = registry.changed() => {}
            () = retry => {}
        }
    }

    /// Opens and closes listeners as the tenants say now. `drain` gets those that close, whose backlog
    /// would be reset.
    pub(super) fn follow(&mut self, drain: impl FnMut(&ListenSocket, Option<&TenantName>)) {
        let wanted = self.registry.as_ref().map(|registry| registry.listeners()).unwrap_or_default();
        self.set(wanted, drain);
    }

    fn set(
        &mut self,
        mut wanted: BTreeMap<ListenAddress, TenantName>,
        mut drain: impl FnMut(&ListenSocket, Option<&TenantName>),
    ) {
        // First: an address may be a part of one that closes.
        for mut listener in std::mem::take(&mut self.of_tenants) {
            match wanted.remove(&listener.address) {
                Some(tenant) => {
                    listener.tenant = tenant;
                    self.of_tenants.push(listener);
                }
                None => listener.close(&mut drain),
            }
        }
        let known = std::mem::take(&mut self.missing);
        for (address, tenant) in wanted {
            let is_known = known.contains(&address);
            self.open(address, tenant, is_known);
        }
        self.retry_at = (!self.missing.is_empty()).then(|| Instant::now() + RETRY);
        // What no tenant wants any more.
        self.taken.clear();
    }

    fn open(&mut self, address: ListenAddress, tenant: TenantName, is_known: bool) {
        let is_it = |taken: &SharedListener| taken.socket.address().is_ok_and(|local| local == address);
        let opened = match self.taken.iter().position(is_it) {
            Some(at) => Ok(self.taken.swap_remove(at)),
            None if self.of_tenants.len() >= MAX_TENANT_LISTENERS => {
                Err(io::Error::other(format!("a server has at most {MAX_TENANT_LISTENERS} of them")))
            }
            None => ListenSocket::open(&address, self.mode)
                .map(|socket| SharedListener { socket, is_inherited: false }),
        };
        match opened.and_then(OpenListener::new) {
            Ok(socket) => {
                tracing::info!(%tenant, %address, "listening for the tenant");
                self.of_tenants.push(TenantListener { address, tenant, socket });
            }
            Err(error) => {
                if !is_known {
                    tracing::error!(%tenant, %address, %error, "cannot listen for the tenant yet, retrying");
                }
                self.missing.push(address);
            }
        }
    }

    /// Returns the server's own, and those of tenants.
    pub(super) fn descriptors(&self) -> (BorrowedFd<'_>, Vec<BorrowedFd<'_>>) {
        (self.own.as_fd(), self.of_tenants.iter().map(|listener| listener.socket.as_fd()).collect())
    }

    /// Leaves those to their supervisor which outlive this process, and closes those of tenants which
    /// do not.
    pub(super) fn leave(mut self, mut drain: impl FnMut(&ListenSocket, Option<&TenantName>)) {
        self.of_tenants.retain(|listener| !listener.socket.is_inherited);
        self.close_of_tenants(&mut drain);
    }

    /// Closes those of tenants.
    fn close_of_tenants(&mut self, mut drain: impl FnMut(&ListenSocket, Option<&TenantName>)) {
        for listener in std::mem::take(&mut self.of_tenants) {
            listener.close(&mut drain);
        }
    }

    /// Closes all.
    pub(super) fn close(
        mut self,
        mut drain: impl FnMut(&ListenSocket, Option<&TenantName>),
    ) -> io::Result<()> {
        self.close_of_tenants(&mut drain);
        self.own.close(|socket| drain(socket, None))
    }
}

impl TenantListener {
    fn close(self, drain: &mut impl FnMut(&ListenSocket, Option<&TenantName>)) {
        tracing::info!(tenant = %self.tenant, address = %self.address, "not listening for the tenant any more");
        // Fails only outside of the runtime: then it is closed by being dropped.
        let _ = self.socket.close(|socket| drain(socket, Some(&self.tenant)));
    }
}

#[cfg(test)]
mod tests;
