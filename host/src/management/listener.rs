//! The listener of the management API, on a thread of its own: what operators ask never waits for jobs,
//! nor jobs for it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};

use axum::Router;
use larder_tls::{ServerTls, Watch};
use tokio::sync::watch;

use crate::{config::Config, error::StartError};

/// Threads for what blocks, such as a guest that explains.
const BLOCKING_THREADS: usize = 4;

/// A listener that serves.
pub(crate) struct ManagementListener {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    _watch: Option<Watch>,
}

/// Opens the socket. `None`: there is none, or the address that nobody has set is taken. `is_embedded`: the
/// program has listeners of its own, so that only an address that is set counts.
///
/// # Errors
/// When an address that was set cannot be bound.
pub(crate) fn open(config: &Config, is_embedded: bool) -> Result<Option<TcpListener>, StartError> {
    let is_set = config.is_set("management.listen");
    let Some(address) = config.settings.management.listen.filter(|_| is_set || !is_embedded) else {
        return Ok(None);
    };
    match TcpListener::bind(address) {
        Ok(socket) => Ok(Some(socket)),
        Err(source) if is_set => Err(StartError::ManagementListen { address, source }),
        Err(error) => {
            tracing::warn!(
                %address,
                %error,
                "the management API has no listener: its default address cannot be used; set LARDER_MANAGEMENT_LISTEN"
            );
            Ok(None)
        }
    }
}

impl ManagementListener {
    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub(crate) fn start(
        socket: TcpListener,
        tls: Option<Arc<ServerTls>>,
        router: Router,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let watch = tls.clone().map(|tls| Watch::start(vec![tls])).transpose()?;
        let is_tls = tls.is_some();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let thread = std::thread::Builder::new().name("larder-manage".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(larder_management::serve(socket, tls, router, stopped)) {
                tracing::error!(%error, "the management listener has ended");
            }
            runtime.shutdown_background();
        })?;
        tracing::info!(%address, is_tls, "the management API listens");
        Ok(Self { address, stop, thread, _watch: watch })
    }

    /// Lets requests in flight finish for a few seconds.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}
