//! The listeners: the server's own, and those of tenants, which come and go with their files.

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::{pending, poll_fn},
    io,
    net::{SocketAddr, TcpListener as Socket},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use larder_common::TenantName;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::{Instant, sleep_until},
};

use super::listen::listen;
use crate::{descriptors::MAX_TENANT_LISTENERS, registry::Registry};

/// Pause before an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A connection, its client, and whose listener accepted it if it is one tenant's.
pub(super) type AcceptedAt = (TcpStream, SocketAddr, Option<TenantName>);

/// All listeners of a server.
pub(super) struct Listeners {
    own: TcpListener,
    of_tenants: Vec<TenantListener>,
    registry: Option<Arc<Registry>>,
    /// Shared by the process before, which may have had other tenants.
    taken: Vec<Socket>,
    /// Addresses that could not be bound.
    missing: Vec<SocketAddr>,
    retry_at: Option<Instant>,
    /// The listener that is asked first.
    turn: Cell<usize>,
}

/// A listener for one tenant.
struct TenantListener {
    address: SocketAddr,
    tenant: TenantName,
    socket: TcpListener,
}

impl Listeners {
    /// Begins with the server's own, and with those that the process before has shared. Must be called
    /// in a runtime.
    pub(super) fn new(own: Socket, taken: Vec<Socket>, registry: Option<Arc<Registry>>) -> io::Result<Self> {
        Ok(Self {
            own: tokio_listener(own)?,
            of_tenants: Vec::new(),
            registry,
            taken,
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
                return Poll::Ready(accepted.map(|(stream, client)| (stream, client, tenant)));
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
    pub(super) fn follow(&mut self, drain: impl FnMut(&Socket, Option<&TenantName>)) {
        let wanted = self.registry.as_ref().map(|registry| registry.listeners()).unwrap_or_default();
        self.set(wanted, drain);
    }

    fn set(
        &mut self,
        mut wanted: BTreeMap<SocketAddr, TenantName>,
        mut drain: impl FnMut(&Socket, Option<&TenantName>),
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
            self.open(address, tenant, known.contains(&address));
        }
        self.retry_at = (!self.missing.is_empty()).then(|| Instant::now() + RETRY);
        // What no tenant wants any more.
        self.taken.clear();
    }

    fn open(&mut self, address: SocketAddr, tenant: TenantName, is_known: bool) {
        let is_it = |socket: &Socket| socket.local_addr().is_ok_and(|local| local == address);
        let opened = match self.taken.iter().position(is_it) {
            Some(at) => Ok(self.taken.swap_remove(at)),
            None if self.of_tenants.len() >= MAX_TENANT_LISTENERS => {
                Err(io::Error::other(format!("a server has at most {MAX_TENANT_LISTENERS} of them")))
            }
            None => listen(address),
        };
        match opened.and_then(tokio_listener) {
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

    /// Closes those of tenants.
    pub(super) fn close_of_tenants(&mut self, mut drain: impl FnMut(&Socket, Option<&TenantName>)) {
        for listener in std::mem::take(&mut self.of_tenants) {
            listener.close(&mut drain);
        }
    }

    /// Closes all.
    pub(super) fn close(mut self, mut drain: impl FnMut(&Socket, Option<&TenantName>)) -> io::Result<()> {
        self.close_of_tenants(&mut drain);
        drain(&self.own.into_std()?, None);
        Ok(())
    }
}

impl TenantListener {
    fn close(self, drain: &mut impl FnMut(&Socket, Option<&TenantName>)) {
        tracing::info!(tenant = %self.tenant, address = %self.address, "not listening for the tenant any more");
        // Fails only outside of the runtime: then it is closed by being dropped.
        if let Ok(socket) = self.socket.into_std() {
            drain(&socket, Some(&self.tenant));
        }
    }
}

fn tokio_listener(socket: Socket) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

#[cfg(test)]
mod tests;
