//! The listener of its own: HTTP/1.1, few connections, bounded in time.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use larder_tls::ServerTls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    select,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_service::Service as _;

use crate::app::Origin;

/// Most connections at once. Others wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send a head, and be idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest connection: a slow reader gives its place back.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// Longest wait for requests in flight after the signal to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause after an error of `accept`, which may be a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest wait after that signal for who reads a stream, which has ended by then: it may not read.
const STREAM_DRAIN: Duration = Duration::from_millis(250);

/// A connection of this listener, which may have a response without an end. In the extensions of its requests.
#[derive(Clone)]
pub(crate) struct LongConnection {
    stop: watch::Receiver<bool>,
    is_streaming: Arc<AtomicBool>,
}

impl LongConnection {
    /// Begins such a response. It has to end when the value is true.
    pub(crate) fn begin(self) -> watch::Receiver<bool> {
        self.is_streaming.store(true, Relaxed);
        self.stop
    }
}

/// Serves `router` until `stop` is true: over TLS, where it is given.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve(
    socket: std::net::TcpListener,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
                open.spawn(async move {
                    let _place = place;
                    let _ = timeout(LONGEST, secured(stream, tls, router, stop)).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the management listener cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ = timeout(DRAIN, async { while open.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Makes the handshake, where there is TLS.
async fn secured(
    stream: TcpStream,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let Some(tls) = tls else { return connection(stream, false, router, stop).await };
    match timeout(HEAD_TIMEOUT, larder_tls::accept(stream, |_| tls.config())).await {
        Ok(Ok(stream)) => Box::pin(connection(stream, true, router, stop)).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake of the management listener failed"),
        Err(_) => tracing::debug!("a handshake of the management listener took too long"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    is_tls: bool,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let is_streaming = Arc::new(AtomicBool::new(false));
    let long = LongConnection { stop: stop.clone(), is_streaming: is_streaming.clone() };
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(long.clone());
        if is_tls && let Some(origin) = Origin::in_host(request.headers(), is_tls) {
            request.extensions_mut().insert(origin);
        }
        router.clone().call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let stopped = async { drop(stop.wait_for(|stopped| *stopped).await) };
    let ended = select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            let longest = if is_streaming.load(Relaxed) { STREAM_DRAIN } else { DRAIN };
            let Ok(ended) = timeout(longest, connection).await else { return };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the management listener ended early");
    }
}
