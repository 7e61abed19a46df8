//! One thread of the server: its runtime, its listener, its guest.

use std::{io, net::TcpListener, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    select,
    sync::{Semaphore, watch},
    task::{JoinSet, LocalSet},
    time::{sleep, timeout},
};

use super::{ServerSettings, admission::Admission, connection, respond::Responder};
use crate::{engine::Policy, services::Services};

/// Threads for blocking file system calls, for each worker.
const BLOCKING_THREADS: usize = 16;
/// How long to wait when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everything a thread needs.
pub(super) struct Worker {
    pub(super) listener: TcpListener,
    pub(super) policy: Policy,
    pub(super) services: Services,
    pub(super) settings: Arc<ServerSettings>,
    pub(super) connections: Arc<Semaphore>,
    pub(super) admission: Admission,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Worker {
    /// Serves until the signal to stop.
    pub(super) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(Duration::from_secs(5))
            .build();
        match runtime {
            Ok(runtime) => {
                LocalSet::new().block_on(&runtime, self.serve());
                // What still runs in blocking threads is finished in the background or ends with the process.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(error = %error, "a server thread has no runtime"),
        }
    }

    async fn serve(self) {
        let Self { listener, policy, services, settings, connections, admission, stopped } = self;
        let services = services.for_thread();
        let guest = policy.start(&services);
        let responder = Rc::new(Responder::new(guest, admission, services, settings.clone()));
        let mut open = JoinSet::new();
        if let Err(error) = accept_all(listener, &responder, &connections, stopped, &mut open).await {
            tracing::error!(error = %error, "a server thread cannot accept connections");
        }
        let drained =
            timeout(settings.bounds.drain, async { while open.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                connections = open.len(),
                "connections still open at the end of the drain time are cut"
            );
        }
    }
}

/// Accepts until the signal to stop. Then the listener closes: who connects now is refused at once.
async fn accept_all(
    listener: TcpListener,
    responder: &Rc<Responder>,
    connections: &Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
    open: &mut JoinSet<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let stopping = stopped.clone();
    loop {
        select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            Some(_) = open.join_next(), if !open.is_empty() => {}
            (stream, permit) = accept(&listener, connections) => {
                let (responder, stopped) = (responder.clone(), stopping.clone());
                open.spawn_local(async move {
                    connection::serve(stream, responder, stopped).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Accepts one connection, once there is room for it.
async fn accept(
    listener: &tokio::net::TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let permit = connections.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
