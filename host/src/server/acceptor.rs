//! The thread that accepts connections and distributes them over the worker threads.
//!
//! One thread accepts for all workers: the limits are checked in one place, the workers get equal
//! numbers of connections, and the listeners can be handed to the next process.

use std::{
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc as std_mpsc,
    },
    time::Duration,
};

use larder_common::TenantName;
use tokio::{
    select,
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    ServerSettings,
    connections::{ConnectionGuard, Connections},
    handover::{self, Offer},
    listen::ListenSocket,
    listeners::{Listeners, SharedListener},
    peer::Peer,
    stream::{Accepted, AcceptedSocket},
};
use crate::{descriptors::MAX_REFUSALS, log_throttle::Throttle, registry::Registry};

/// Pause after a failed accept, such as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection on its way to its worker thread.
pub(super) struct Dispatched {
    pub(super) socket: AcceptedSocket,
    pub(super) peer: Peer,
    /// `None` where the server is full: the connection only gets a 503.
    pub(super) guard: Option<ConnectionGuard>,
    pub(super) load: LoadGuard,
}

/// Counts a connection while it lives.
pub(super) struct LoadGuard(Arc<AtomicUsize>);

impl LoadGuard {
    fn count(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter.clone())
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The queue of one worker thread, and the number of its connections.
pub(super) struct WorkerQueue {
    connections: mpsc::UnboundedSender<Dispatched>,
    open: Arc<AtomicUsize>,
}

impl WorkerQueue {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Dispatched>) {
        let (connections, inbox) = mpsc::unbounded_channel();
        (Self { connections, open: Arc::default() }, inbox)
    }
}

/// The acceptor thread's parts.
pub(super) struct Acceptor {
    pub(super) listener: SharedListener,
    /// Listeners of tenants that the process before has shared, or a supervisor has opened.
    pub(super) taken: Vec<SharedListener>,
    /// The tenants, which may have listeners of their own.
    pub(super) registry: Option<Arc<Registry>>,
    pub(super) offer: Option<Offer>,
    pub(super) queues: Vec<WorkerQueue>,
    pub(super) settings: Arc<ServerSettings>,
    pub(super) connections: Arc<Connections>,
    pub(super) stopped: watch::Receiver<bool>,
    /// Dropped once the listeners of tenants are open, as far as they can be.
    pub(super) opening: std_mpsc::Sender<()>,
}

impl Acceptor {
    /// Accepts until the signal to stop. Without a successor or a supervisor it goes on until the
    /// earlier requests are done.
    pub(super) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let served = runtime.and_then(|runtime| runtime.block_on(self.serve()));
        if let Err(error) = served {
            tracing::error!(%error, "cannot accept connections");
        }
    }

    async fn serve(self) -> io::Result<()> {
        let Self { listener, taken, registry, offer, queues, settings, connections, .. } = self;
        let (mut stopped, opening) = (self.stopped, self.opening);
        let is_inherited = listener.is_inherited;
        let mut listeners = Listeners::new(listener, taken, registry, settings.socket_mode)?;
        let asked = offer.as_ref().map(Offer::listener).transpose()?;
        let dispatcher = Dispatcher {
            queues,
            next: AtomicUsize::new(0),
            settings,
            connections: connections.clone(),
            refusals: Arc::default(),
            starved: Throttle::default(),
        };
        let drain =
            |socket: &ListenSocket, tenant: Option<&TenantName>| dispatcher.drain_backlog(socket, tenant);
        listeners.follow(drain);
        drop(opening);
        let mut successor = None;
        loop {
            let is_stopped = *stopped.borrow() || stopped.has_changed().is_err();
            let is_followed = successor.as_ref().is_some_and(handover::is_tied);
            if is_stopped && is_followed {
                // New connections belong to the next process.
                return Ok(());
            }
            if is_stopped && is_inherited {
                // So do they here, but of the supervisor's listeners alone.
                listeners.leave(drain);
                return Ok(());
            }
            select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped), if !is_stopped => {}
                given = hand_over(asked.as_ref(), &listeners) => successor = given.or(successor),
                () = listeners.changed() => listeners.follow(drain),
                // The requests in flight are done, and no successor has come.
                () = until_drained(&connections), if is_stopped => break,
                () = dispatcher.accept(&listeners) => {}
            }
        }
        listeners.close(drain)
    }
}

/// Keeps the workers of a server without a listener: until the signal to stop, and then until the
/// requests in flight are done.
pub(super) fn keep_workers(
    queues: Vec<WorkerQueue>,
    connections: &Connections,
    mut stopped: watch::Receiver<bool>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let kept = runtime.map(|runtime| {
        runtime.block_on(async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            until_drained(connections).await;
        });
    });
    if let Err(error) = kept {
        tracing::error!(%error, "cannot keep the server threads");
    }
    drop(queues);
}

/// Hands the listeners to a process that asks for them, and returns the connection to that process.
async fn hand_over(asked: Option<&tokio::net::UnixListener>, listeners: &Listeners) -> Option<UnixStream> {
    let Some(asked) = asked else { return std::future::pending().await };
    let accepted = asked.accept().await.and_then(|(asker, _)| asker.into_std());
    let (own, of_tenants) = listeners.descriptors();
    match accepted.and_then(|asker| handover::give(&asker, own, &of_tenants).map(|()| asker)) {
        Ok(successor) => {
            tracing::info!("listener shared with a server that waits for this one to stop");
            Some(successor)
        }
        Err(error) => {
            tracing::warn!(%error, "cannot hand the listener over");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn until_drained(connections: &Connections) {
    let Some(deadline) = connections.deadline() else { return };
    let _ = tokio::time::timeout_at(deadline, connections.drained()).await;
}

/// Distributes connections over the worker threads.
struct Dispatcher {
    queues: Vec<WorkerQueue>,
    next: AtomicUsize,
    settings: Arc<ServerSettings>,
    connections: Arc<Connections>,
    refusals: Arc<AtomicUsize>,
    starved: Throttle,
}

impl Dispatcher {
    /// Accepts one connection and dispatches it.
    async fn accept(&self, listeners: &Listeners) {
        self.connections.settled().await;
        let accepted = listeners.accept().await;
        match accepted {
            Ok((accepted, tenant)) => self.dispatch(accepted, tenant),
            // The client closed it before it was accepted.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                self.starved.log(|times| tracing::warn!(%error, times, "cannot accept a connection"));
                self.connections.shed_idle();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Dispatches the connections in the backlog of a listener that is about to close, which would
    /// reset them.
    fn drain_backlog(&self, listener: &ListenSocket, tenant: Option<&TenantName>) {
        loop {
            match listener.accept() {
                Ok(accepted) => self.dispatch(accepted, tenant.cloned()),
                Err(error) if is_of_connection(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Sends a connection to a worker. Above the limits the worker refuses it; above
    /// [`MAX_REFUSALS`] it is closed.
    fn dispatch(&self, Accepted { socket, client }: Accepted, tenant: Option<TenantName>) {
        let Ok(local) = socket.local() else { return };
        let peer = Peer::new(client, local, &self.settings.trusted_proxies).at(tenant);
        // A proxy has connections of many clients. One on this machine cannot be told from a local
        // client.
        let exempt = peer.is_trusted && !peer.address.is_loopback();
        let guard = self.connections.admit(peer.address, exempt);
        let queue = self.pick();
        let load = match &guard {
            Some(_) => LoadGuard::count(&queue.open),
            None if self.refusals.load(Relaxed) < MAX_REFUSALS => LoadGuard::count(&self.refusals),
            None => return,
        };
        // If the thread has ended, the connection is closed.
        let _ = queue.connections.send(Dispatched { socket, peer, guard, load });
    }

    /// Picks the worker with the fewest connections; of equals the next in turn.
    fn pick(&self) -> &WorkerQueue {
        let count = self.queues.len();
        let first = self.next.fetch_add(1, Relaxed);
        let in_turn = (0..count).map(|step| (first + step) % count);
        let least = in_turn.min_by_key(|at| self.queues[*at].open.load(Relaxed));
        &self.queues[least.unwrap_or(0)]
    }
}

/// Returns whether an accept error concerns only the connection that was next (accept(2), "Error
/// handling").
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}
