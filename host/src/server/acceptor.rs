//! The thread that accepts connections and deals them out to the threads that serve.
//!
//! One thread for all of them: the bounds are judged in one place, each serving thread gets as many connections as the
//! others, and the one listener can be handed to the next process.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    select,
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    ServerSettings,
    connections::{Connections, Ticket},
    handover::{self, Offer},
    peer::Peer,
};
use crate::{descriptors::MAX_REFUSALS, throttle::Throttle};

/// How long to wait when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection on its way to the thread that serves it.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: Peer,
    /// Its place; `None` where there is no room, and all that is left is to say so.
    pub(super) ticket: Option<Ticket>,
    pub(super) load: Load,
}

/// Counts a connection for as long as it is served.
pub(super) struct Load(Arc<AtomicUsize>);

impl Load {
    fn count(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The way to one serving thread.
pub(super) struct Lane {
    connections: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
}

impl Lane {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Accepted>) {
        let (connections, inbox) = mpsc::unbounded_channel();
        (Self { connections, open: Arc::default() }, inbox)
    }
}

/// Everything the thread needs.
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    /// Whether the listener is a supervisor's, and outlives this process anyway.
    pub(super) is_inherited: bool,
    pub(super) offer: Option<Offer>,
    pub(super) lanes: Vec<Lane>,
    pub(super) settings: Arc<ServerSettings>,
    pub(super) connections: Arc<Connections>,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until the signal to stop, and for as long after it as nobody else would.
    pub(super) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let served = runtime.and_then(|runtime| runtime.block_on(self.serve()));
        if let Err(error) = served {
            tracing::error!(%error, "cannot accept connections");
        }
    }

    async fn serve(self) -> io::Result<()> {
        let Self { listener, is_inherited, offer, lanes, settings, connections, mut stopped } = self;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let asked = offer.as_ref().map(Offer::listener).transpose()?;
        let dealer = Dealer {
            lanes,
            next: AtomicUsize::new(0),
            settings,
            connections: connections.clone(),
            refusals: Arc::default(),
            starved: Throttle::default(),
        };
        let mut successor = None;
        loop {
            let is_stopped = *stopped.borrow() || stopped.has_changed().is_err();
            if is_stopped && (is_inherited || successor.as_ref().is_some_and(handover::is_tied)) {
                // Who connects from now on is the next process's.
                return Ok(());
            }
            select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped), if !is_stopped => {}
                given = hand_over(asked.as_ref(), &listener) => successor = given.or(successor),
                // Requests in the works are answered, and nobody has come who would take over.
                () = until_drained(&connections), if is_stopped => break,
                () = dealer.accept(&listener) => {}
            }
        }
        dealer.empty(&listener.into_std()?);
        Ok(())
    }
}

/// Gives the listener to a process that asks for it.
async fn hand_over(
    asked: Option<&tokio::net::UnixListener>,
    listener: &tokio::net::TcpListener,
) -> Option<UnixStream> {
    let Some(asked) = asked else { return std::future::pending().await };
    let accepted = asked.accept().await.and_then(|(asker, _)| asker.into_std());
    match accepted.and_then(|asker| handover::give(&asker, listener.as_fd()).map(|()| asker)) {
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

/// Deals connections out.
struct Dealer {
    lanes: Vec<Lane>,
    next: AtomicUsize,
    settings: Arc<ServerSettings>,
    connections: Arc<Connections>,
    refusals: Arc<AtomicUsize>,
    starved: Throttle,
}

impl Dealer {
    /// Waits for a connection, and deals it out.
    async fn accept(&self, listener: &tokio::net::TcpListener) {
        self.connections.settled().await;
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => self.place(stream, address),
            // It was gone before it was accepted.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                self.starved.log(|times| tracing::warn!(%error, times, "cannot accept a connection"));
                self.connections.shed_idle();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Deals out who waits in the queue of a listener that is about to close: they would be cut off.
    fn empty(&self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, address)) if stream.set_nonblocking(true).is_ok() => self.place(stream, address),
                Ok(_) => {}
                Err(error) if is_of_connection(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Gives a connection to a thread, if there is room for it, or for saying that there is none.
    fn place(&self, stream: TcpStream, address: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let peer = Peer::new(address, local, &self.settings.trusted_proxies);
        // A proxy speaks for many. One on this machine is not told from a client there.
        let exempt = peer.is_trusted && !peer.address.is_loopback();
        let ticket = self.connections.admit(peer.address, exempt);
        let lane = self.pick();
        let load = match &ticket {
            Some(_) => Load::count(&lane.open),
            None if self.refusals.load(Relaxed) < MAX_REFUSALS => Load::count(&self.refusals),
            None => return,
        };
        // A thread that has ended takes none: then the connection closes.
        let _ = lane.connections.send(Accepted { stream, peer, ticket, load });
    }

    /// Turns to the thread with the fewest connections; of equals to the next in turn.
    fn pick(&self) -> &Lane {
        let count = self.lanes.len();
        let first = self.next.fetch_add(1, Relaxed);
        let in_turn = (0..count).map(|step| (first + step) % count);
        let least = in_turn.min_by_key(|at| self.lanes[*at].open.load(Relaxed));
        &self.lanes[least.unwrap_or(0)]
    }
}

/// Returns whether an error of accepting is of the one connection that was next (accept(2), "error handling").
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
