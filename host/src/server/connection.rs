//! One connection: HTTP/1.1 or HTTP/2, which TLS negotiates; without TLS HTTP/2 by prior knowledge.

use std::{
    convert::Infallible, future::poll_fn, pin::Pin, pin::pin, rc::Rc, sync::Arc, task::Poll, time::Duration,
};

use http::{HeaderValue, Version, header::CONNECTION};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use larder_common::causes::chain;
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};

use super::{
    ServerBounds,
    buffer_share::Share,
    connections::{Closing, ConnectionGuard, Expiry},
    handshake::{Begun, Protocol, begin, bound_buffer},
    peer::Peer,
    respond::{Responder, busy, needs_tls},
    response_body::{Watched, end_if_stalled},
    stream::{Socket, Stream},
    wire::Wire,
};
use crate::message::{ClientQuota, WireBody};

/// How often a silent HTTP/2 peer is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// Streams that a client may reset before they are served, and streams that the server resets
/// because of client errors, before the connection is closed.
const RESET_STREAMS: usize = 20;
const FAULTY_STREAMS: usize = 128;
/// How long a connection that has to end may be idle: time to read the last bytes.
const LINGER: Duration = Duration::from_secs(3);
/// How long the server waits for a connection's first request once it stops: the request is
/// probably on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How often it is checked whether a connection that has to end may still be read.
const MOMENT: Duration = Duration::from_millis(1);
/// How long a refused connection may take to read its 503.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// Serves a connection until it closes or has to end.
pub(super) async fn serve(socket: Socket, peer: Peer, guard: ConnectionGuard, responder: Arc<Responder>) {
    let mut bounds = responder.bounds().clone();
    if guard.is_late() {
        bounds.header_wait = bounds.header_wait.min(FIRST_REQUEST);
    }
    if let Err(error) = socket.prepare(bounds.idle) {
        tracing::debug!(%error, "connection closed at once");
        return;
    }
    let sites = responder.sites();
    let first = select! {
        // First what has arrived: a connection with a request is not closed for another.
        biased;
        first = timeout(bounds.header_wait, begin(socket, peer, &sites, &bounds)) => first,
        // No request has arrived yet.
        () = closes_unused(&guard) => return,
    };
    let Ok(begun) = first else { return };
    let Begun { mut stream, peer, protocol } = match begun {
        Ok(begun) => begun,
        Err(error) => return responder.log_failed_beginning(&error),
    };
    if protocol == Protocol::PlainHttp {
        return explain_tls(stream, &peer, &bounds).await;
    }
    let is_late = guard.is_late();
    let share = Share::of(guard.open_connections(), bounds.header_bytes);
    bound_buffer(&mut stream, share.buffer_bytes);
    let address = peer.address;
    let context = Rc::new(ConnectionContext { client: responder.client(), responder, peer, guard });
    let service = {
        let context = context.clone();
        service_fn(move |request| serve_request(request, context.clone()))
    };
    if protocol == Protocol::Http2 {
        let connection = http2(&bounds, share).serve_connection(TokioIo::new(stream), service);
        run(pin!(connection), &context.guard, &bounds).await;
    } else {
        let whose = context.clone();
        let wire = Wire::new(stream, address, move || whose.guard.is_idle());
        let connection = http1(&bounds, share).keep_alive(!is_late).serve_connection(wire, service);
        run(pin!(connection), &context.guard, &bounds).await;
    }
}

/// Responds with a 503 to a connection above the limits.
pub(super) async fn refuse(socket: Socket, peer: Peer, responder: Arc<Responder>) {
    let bounds = responder.bounds();
    let service = service_fn(|_: http::Request<Incoming>| async { Ok::<_, Infallible>(refusal()) });
    let share = Share::smallest(bounds.header_bytes);
    let talk = async {
        let Ok(Begun { stream, peer, protocol }) = begin(socket, peer, &responder.sites(), bounds).await
        else {
            return;
        };
        if protocol == Protocol::Http2 {
            let connection = http2(bounds, share).serve_connection(TokioIo::new(stream), service);
            log_end(connection.await);
        } else {
            let wire = Wire::new(stream, peer.address, || true);
            let connection = http1(bounds, share).keep_alive(false).serve_connection(wire, service);
            log_end(connection.await);
        }
    };
    // After that it is cut.
    let _ = timeout(REFUSAL_TIME, talk).await;
}

/// Responds to a client that does not speak TLS where it has to.
async fn explain_tls(stream: Stream, peer: &Peer, bounds: &ServerBounds) {
    let service = service_fn(|_: http::Request<Incoming>| async {
        Ok::<_, Infallible>(needs_tls().map(Watched::uncounted))
    });
    let wire = Wire::new(stream, peer.address, || true);
    let share = Share::smallest(bounds.header_bytes);
    let connection = http1(bounds, share).keep_alive(false).serve_connection(wire, service);
    if let Ok(ended) = timeout(REFUSAL_TIME, connection).await {
        log_end(ended);
    }
}

/// What the requests of one connection share.
struct ConnectionContext {
    responder: Arc<Responder>,
    /// Its part of each quota.
    client: Arc<ClientQuota>,
    peer: Peer,
    guard: ConnectionGuard,
}

async fn serve_request(
    request: http::Request<Incoming>,
    context: Rc<ConnectionContext>,
) -> Result<http::Response<Watched>, Infallible> {
    let version = request.version();
    let mut response = match context.guard.begin().await {
        Some(active) => context
            .responder
            .respond(&context.client, &active, context.peer.clone(), request.map(WireBody::Own))
            .await
            .map(|body| Watched::new(body, active)),
        None => refusal(),
    };
    if version < Version::HTTP_2 && context.guard.has_to_end() {
        // Else the client could send its next request while the connection is being closed.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        // To one of HTTP/1.0 hyper would add `keep-alive`.
        *response.version_mut() = version;
    }
    Ok(response)
}

fn refusal() -> http::Response<Watched> {
    busy().map(Watched::uncounted)
}

/// The longest head that hyper reads. Above it hyper refuses the request by itself: over HTTP/1
/// [`Wire`] adds the error, over HTTP/2 the body is empty.
fn hard_header_bytes(bounds: &ServerBounds, share: Share) -> usize {
    bounds.header_bytes.max(bounds.header_bytes.saturating_mul(4).min(share.buffer_bytes / 2))
}

/// Without hyper's own timeout for a head: [`run`] has one, for both versions.
fn http1(bounds: &ServerBounds, share: Share) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(hard_header_bytes(bounds, share))
        .max_buf_size(share.buffer_bytes);
    builder
}

fn http2(bounds: &ServerBounds, share: Share) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor { stall: bounds.idle });
    let window = u32::try_from(share.buffer_bytes).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(bounds.idle)
        .max_concurrent_streams(share.streams)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(FAULTY_STREAMS)
        .max_header_list_size(u32::try_from(hard_header_bytes(bounds, share)).unwrap_or(u32::MAX))
        .initial_stream_window_size(window)
        .initial_connection_window_size(window.saturating_mul(2))
        .max_send_buf_size(share.buffer_bytes);
    builder
}

/// A connection of either version.
trait HttpConnection: Future<Output = hyper::Result<()>> {
    /// Accepts no further request; those in flight finish.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<S, Idle> HttpConnection for http1::Connection<Wire<Idle>, S>
where
    Idle: Fn() -> bool + Unpin,
    S: HttpService<Incoming, ResBody = Watched, Error = Infallible>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

impl<S> HttpConnection for http2::Connection<TokioIo<Stream>, S, LocalExecutor>
where
    S: HttpService<Incoming, ResBody = Watched, Error = Infallible>,
    S::Future: 'static,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

/// Drives a connection until it closes, has been idle for too long, or has to end for another
/// reason.
async fn run(mut connection: Pin<&mut impl HttpConnection>, guard: &ConnectionGuard, bounds: &ServerBounds) {
    let mut check = pin!(sleep(bounds.header_wait));
    let closing = loop {
        select! {
            biased;
            ended = connection.as_mut() => return log_end(ended),
            closing = poll_fn(|cx| guard.poll_closing(cx, Closing::WhenDone)) => break closing,
            () = check.as_mut() => match guard.expiry(bounds.header_wait, bounds.keep_alive) {
                // No request in all that time: no further wait.
                Expiry::Due if !guard.was_used() => return,
                Expiry::Due => break guard.end(),
                Expiry::After(time) => check.as_mut().reset(Instant::now() + time),
            }
        }
    };
    let is_open = closing.await_last_request(connection.as_mut(), guard).await;
    if !is_open || !guard.was_used() {
        // Without a request no response is due.
        return;
    }
    connection.as_mut().graceful_shutdown();
    if closing.lets_finish(guard) {
        finish(connection, guard).await;
    } else {
        // One poll, to send what is ready, such as GOAWAY. No more: another connection needs the
        // place.
        poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx).is_ready())).await;
    }
}

impl Closing {
    /// Gives a request that is probably on its way the time to arrive. Returns whether the
    /// connection is still open.
    async fn await_last_request(
        self,
        mut connection: Pin<&mut impl HttpConnection>,
        guard: &ConnectionGuard,
    ) -> bool {
        match self {
            Self::WhenDone => {
                first_request(connection.as_mut(), guard).await
                    && (!guard.is_idle() || last_moment(connection, guard).await)
            }
            Self::MakeRoom => last_moment(connection, guard).await,
            Self::Now => true,
        }
    }

    /// Returns whether the requests in flight may finish. A connection that was evicted, and got a
    /// request in the same moment, is counted among the open ones again.
    fn lets_finish(self, guard: &ConnectionGuard) -> bool {
        match self {
            Self::WhenDone => true,
            Self::MakeRoom => !guard.is_idle() && guard.readmit(),
            Self::Now => false,
        }
    }
}

/// Drives an idle connection a little longer, because a client does not retry a request that it
/// sent at the same moment. Returns whether it is still open.
async fn last_moment(connection: Pin<&mut impl HttpConnection>, guard: &ConnectionGuard) -> bool {
    select! {
        biased;
        ended = connection => {
            log_end(ended);
            false
        }
        () = until_last_moment(guard) => true,
    }
}

/// Waits as long as the connection may still be read, then until the runtime has seen what has arrived
/// meanwhile: a busy thread may get here late.
async fn until_last_moment(guard: &ConnectionGuard) {
    let begun = Instant::now();
    while guard.may_linger(begun.elapsed()) {
        sleep(MOMENT).await;
    }
    tokio::task::yield_now().await;
}

/// Drives a connection until its first request has arrived, or for [`FIRST_REQUEST`]. Returns
/// whether it is still open.
async fn first_request(mut connection: Pin<&mut impl HttpConnection>, guard: &ConnectionGuard) -> bool {
    let request = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if guard.was_used() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match timeout(FIRST_REQUEST, request).await {
        Ok(Some(ended)) => {
            log_end(ended);
            false
        }
        Ok(None) | Err(_) => true,
    }
}

/// Drives a connection that accepts no further request until its requests are done. One that is
/// idle for [`LINGER`] and does not end is cut.
async fn finish(mut connection: Pin<&mut impl HttpConnection>, guard: &ConnectionGuard) {
    loop {
        select! {
            biased;
            ended = connection.as_mut() => return log_end(ended),
            _ = poll_fn(|cx| guard.poll_closing(cx, Closing::Now)) => return,
            () = sleep(LINGER) => if guard.expiry(LINGER, LINGER) == Expiry::Due { return }
        }
    }
}

/// Returns when a connection without a request has to end.
async fn closes_unused(guard: &ConnectionGuard) {
    match poll_fn(|cx| guard.poll_closing(cx, Closing::WhenDone)).await {
        Closing::WhenDone => sleep(FIRST_REQUEST).await,
        Closing::MakeRoom => until_last_moment(guard).await,
        Closing::Now => {}
    }
}

/// Logs how a connection ended, at debug level: most errors are the client's, and the request log
/// has what matters.
fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = %chain(&error), "connection ended with an error");
    }
}

/// Runs a connection's streams on this thread, and resets those whose client reads nothing for
/// `stall`.
#[derive(Clone)]
struct LocalExecutor {
    stall: Duration,
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(end_if_stalled(future, self.stall));
    }
}
