//! One thread of the server: its runtime, its connections, its guest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc as std_mpsc,
    },
    time::Duration,
};

use tokio::{
    select,
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time::timeout_at,
};

use super::{
    ServerSettings,
    acceptor::Dispatched,
    admission::Admission,
    connection,
    connections::Connections,
    respond::Responder,
    tenant_guests::{Tenancy, TenantGuests},
};
use crate::{
    engine::{CurrentGuest, PolicyInForce},
    management::ManagementOnMain,
    tenant::Tenant,
};

/// Threads for blocking file system calls, per worker.
const BLOCKING_THREADS: usize = 16;

/// A running worker thread, for requests that come from other threads.
pub(super) struct RunningWorker {
    pub(super) responder: Arc<Responder>,
    pub(super) runtime: tokio::runtime::Handle,
    has_ended: AtomicBool,
}

impl RunningWorker {
    /// Returns whether the thread has ended. What needs its runtime must not be polled any more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(SeqCst)
    }
}

/// A worker thread's parts.
pub(super) struct Worker {
    /// Told once it runs.
    pub(super) running: std_mpsc::Sender<Arc<RunningWorker>>,
    pub(super) inbox: mpsc::UnboundedReceiver<Dispatched>,
    pub(super) policy: PolicyInForce,
    pub(super) tenant: Arc<Tenant>,
    pub(super) tenancy: Option<Tenancy>,
    pub(super) management: Option<ManagementOnMain>,
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
                let worker = LocalSet::new().block_on(&runtime, self.serve());
                worker.has_ended.store(true, SeqCst);
                // Blocking calls finish in the background or end with the process.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "cannot start the runtime of a server thread"),
        }
    }

    async fn serve(self) -> Arc<RunningWorker> {
        let Self {
            running,
            mut inbox,
            policy,
            tenant,
            tenancy,
            management,
            settings,
            connections,
            admission,
        } = self;
        let guest = CurrentGuest::start(&policy, &tenant);
        let others = tenancy.map(TenantGuests::new);
        let responder =
            Arc::new(Responder::new(guest, admission, tenant, settings, others).with_management(management));
        let worker = Arc::new(RunningWorker {
            responder: responder.clone(),
            runtime: tokio::runtime::Handle::current(),
            has_ended: AtomicBool::new(false),
        });
        let _ = running.send(worker.clone());
        // Who waits for all workers waits until none can report any more.
        drop(running);
        let mut open = JoinSet::new();
        loop {
            select! {
                Some(_) = open.join_next(), if !open.is_empty() => {}
                accepted = inbox.recv() => match accepted {
                    Some(dispatched) => drop(open.spawn_local(take_on(dispatched, responder.clone()))),
                    None => break,
                }
            }
        }
        let all = async {
            while open.join_next().await.is_some() {}
            // Requests of an embedding program are at this thread's guest, too.
            connections.drained().await;
        };
        if let Some(deadline) = connections.deadline()
            && timeout_at(deadline, all).await.is_err()
        {
            tracing::warn!(connections = open.len(), "drain time over: cutting open connections");
        }
        worker
    }
}

async fn take_on(dispatched: Dispatched, responder: Arc<Responder>) {
    let Dispatched { socket, peer, guard, load } = dispatched;
    match socket.into_socket() {
        Ok(socket) => match guard {
            Some(guard) => connection::serve(socket, peer, guard, responder).await,
            None => connection::refuse(socket, peer, responder).await,
        },
        Err(error) => tracing::debug!(%error, "connection closed at once"),
    }
    drop(load);
}
