//! One thread of the server: its runtime, its connections, its guest.

use std::{rc::Rc, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    select,
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time::timeout_at,
};

use super::{
    ServerSettings, acceptor::Accepted, admission::Admission, connection, connections::Connections,
    respond::Responder,
};
use crate::{engine::Policy, tenant::Tenant};

/// Threads for blocking file system calls, per worker.
const BLOCKING_THREADS: usize = 16;

/// A worker thread's parts.
pub(super) struct Worker {
    pub(super) inbox: mpsc::UnboundedReceiver<Accepted>,
    pub(super) policy: Policy,
    pub(super) tenant: Arc<Tenant>,
    pub(super) settings: Arc<ServerSettings>,
    pub(super) connections: Arc<Connections>,
    pub(super) admission: Admission,
}

impl Worker {
    /// Serves until the queue is closed and the last connection has ended.
    pub(super) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(Duration::from_secs(5))
            .build();
        match runtime {
            Ok(runtime) => {
                LocalSet::new().block_on(&runtime, self.serve());
                // Blocking calls finish in the background or end with the process.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "cannot start the runtime of a server thread"),
        }
    }

    async fn serve(self) {
        let Self { mut inbox, policy, tenant, settings, connections, admission } = self;
        let bounds = Rc::new(settings.bounds.clone());
        let guest = policy.start(&tenant);
        let responder = Rc::new(Responder::new(guest, admission, tenant, settings));
        let mut open = JoinSet::new();
        loop {
            select! {
                Some(_) = open.join_next(), if !open.is_empty() => {}
                accepted = inbox.recv() => match accepted {
                    Some(accepted) => drop(open.spawn_local(take_on(accepted, responder.clone(), bounds.clone()))),
                    None => break,
                }
            }
        }
        let all = async { while open.join_next().await.is_some() {} };
        let Some(deadline) = connections.deadline() else { return };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(connections = open.len(), "drain time over: cutting open connections");
        }
    }
}

async fn take_on(accepted: Accepted, responder: Rc<Responder>, bounds: Rc<super::ServerBounds>) {
    let Accepted { stream, peer, guard, load } = accepted;
    match TcpStream::from_std(stream) {
        Ok(stream) => match guard {
            Some(guard) => connection::serve(stream, peer, guard, responder).await,
            None => connection::refuse(stream, bounds).await,
        },
        Err(error) => tracing::debug!(%error, "connection closed at once"),
    }
    drop(load);
}
