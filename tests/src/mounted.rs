//! The server as a service, below an HTTP server of the tests' own.

use std::net::SocketAddr;

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use larder::{Larder, LarderService};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::AbortHandle};
use tower_service::Service;

use crate::{RemoteServer, SECRET, test_config};

/// A Larder without a listener, and a server of HTTP/1.1 that passes its requests on to it.
pub struct MountedServer {
    larder: Option<Larder>,
    accepting: AbortHandle,
    /// Sends requests to it.
    pub remote: RemoteServer,
    _data: TempDir,
}

impl MountedServer {
    /// Starts one with a minimal configuration.
    pub async fn start() -> Self {
        let data = TempDir::new().expect("a temporary directory");
        let builder = Larder::builder(test_config(data.path(), &[])).without_listener();
        let larder = Box::pin(builder.build()).await.expect("it starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let accepting = tokio::spawn(accept(listener, larder.service())).abort_handle();
        let remote = RemoteServer::at(format!("http://{address}"), SECRET.to_owned());
        Self { larder: Some(larder), accepting, remote, _data: data }
    }
}

impl Drop for MountedServer {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Some(larder) = self.larder.take() {
            larder.stop();
        }
    }
}

/// Serves a service on a listener, for ever.
pub async fn accept(listener: TcpListener, service: LarderService) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        let respond = service_fn(move |request| service.clone().call(request));
        // How a connection ends is the client's affair.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), respond));
    }
}
