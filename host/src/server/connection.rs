//! One connection: HTTP/1.1, or HTTP/2 by prior knowledge.

use std::{
    convert::Infallible, future::poll_fn, io, pin::Pin, pin::pin, rc::Rc, sync::Arc, task::Poll,
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    select,
    time::{Instant, sleep, timeout},
};

use super::{
    Bounds,
    connections::{Closing, Expiry, Ticket},
    peer::Peer,
    respond::Responder,
    share::Share,
    watched::{Watched, end_if_stalled},
};
use crate::{
    causes::chain,
    message::{Client, unavailable},
};

/// How an HTTP/2 connection begins (RFC 9113, 3.4). No HTTP/1 method does.
const HTTP2_PREFACE: &[u8] = b"PRI * ";
/// How often a silent HTTP/2 peer is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// Streams that a client may reset before they were looked at, and that the server resets because of the client's errors,
/// before the connection ends.
const RESET_STREAMS: usize = 20;
const FAULTY_STREAMS: usize = 128;
/// How long a connection that has to end may stand idle: time to take the last bytes.
const LINGER: Duration = Duration::from_secs(3);
/// How long the first request of a connection may take to come once the server stops: it is likely on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long a connection that has to make room is still looked at: what its client sent before it knew has come by then.
const LAST_MOMENT: Duration = Duration::from_millis(10);
/// How long a refused connection may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// What is said to who comes when a bound is reached.
const BUSY: &str = "the server is busy; try again";

/// Serves a connection until it closes or has to end.
pub(super) async fn serve(stream: TcpStream, peer: Peer, ticket: Ticket, responder: Rc<Responder>) {
    let mut bounds = responder.bounds().clone();
    if ticket.is_late() {
        bounds.header_wait = bounds.header_wait.min(FIRST_REQUEST);
    }
    if let Err(error) = prepare(&stream, &bounds) {
        tracing::debug!(%error, "connection closed at once");
        return;
    }
    let first = select! {
        first = timeout(bounds.header_wait, speaks_http2(&stream)) => first,
        // Nothing came of it yet.
        () = closes_unused(&ticket) => return,
    };
    let Ok(Ok(is_http2)) = first else { return };
    let is_late = ticket.is_late();
    let share = Share::of(ticket.open_connections(), bounds.header_bytes);
    let shared = Rc::new(Shared { client: responder.client(), responder, peer, ticket });
    let service = {
        let shared = shared.clone();
        service_fn(move |request| serve_request(request, shared.clone()))
    };
    if is_http2 {
        let connection = http2(&bounds, share).serve_connection(TokioIo::new(stream), service);
        run(pin!(connection), &shared.ticket, &bounds).await;
    } else {
        let connection =
            http1(&bounds, share).keep_alive(!is_late).serve_connection(TokioIo::new(stream), service);
        run(pin!(connection), &shared.ticket, &bounds).await;
    }
}

/// Tells a client that there is no room for its connection.
pub(super) async fn refuse(stream: TcpStream, bounds: Rc<Bounds>) {
    let service = service_fn(|_: http::Request<Incoming>| async { Ok::<_, Infallible>(busy()) });
    let share = Share::smallest(bounds.header_bytes);
    let talk = async {
        if speaks_http2(&stream).await? {
            let connection = http2(&bounds, share).serve_connection(TokioIo::new(stream), service);
            note(connection.await);
        } else {
            let connection =
                http1(&bounds, share).keep_alive(false).serve_connection(TokioIo::new(stream), service);
            note(connection.await);
        }
        io::Result::Ok(())
    };
    // Where it has not ended by then, it is cut.
    let _ = timeout(REFUSAL_TIME, talk).await;
}

/// What the requests of one connection share.
struct Shared {
    responder: Rc<Responder>,
    /// Its room for what is in the works.
    client: Arc<Client>,
    peer: Peer,
    ticket: Ticket,
}

async fn serve_request(
    request: http::Request<Incoming>,
    shared: Rc<Shared>,
) -> Result<http::Response<Watched>, Infallible> {
    let Some(active) = shared.ticket.begin() else { return Ok(busy()) };
    let response = shared.responder.respond(&shared.client, shared.peer, request).await;
    Ok(response.map(|body| Watched::new(body, active)))
}

/// Clients repeat a 503; the policy is not asked.
fn busy() -> http::Response<Watched> {
    let id = uuid::Uuid::new_v4().hyphenated().to_string();
    unavailable(BUSY, &id).map(Watched::uncounted)
}

/// Small answers leave at once; a peer that takes nothing for too long is dropped by the kernel.
fn prepare(stream: &TcpStream, bounds: &Bounds) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(bounds.idle))?;
    Ok(())
}

/// Looks at the first bytes without taking them.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; HTTP2_PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let begins = HTTP2_PREFACE.starts_with(&seen[..count]);
        if count == 0 || !begins || count == HTTP2_PREFACE.len() {
            return Ok(begins && count > 0);
        }
        // A part of the preface. What is there was seen: sleep until more comes.
        let _ = stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        if stream.ready(Interest::READABLE).await?.is_read_closed() {
            return Ok(false);
        }
    }
}

/// The longest head that is read at all. Above it hyper refuses with an empty body, which some clients repeat; below it a
/// head that is too long gets an answer that they can read.
fn hard_header_bytes(bounds: &Bounds, share: Share) -> usize {
    bounds.header_bytes.max(bounds.header_bytes.saturating_mul(4).min(share.buffer_bytes / 2))
}

/// Without a bound of hyper's on the time for a head: [`run`] has it, for both versions.
fn http1(bounds: &Bounds, share: Share) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(hard_header_bytes(bounds, share))
        .max_buf_size(share.buffer_bytes);
    builder
}

fn http2(bounds: &Bounds, share: Share) -> http2::Builder<LocalExecutor> {
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
trait Connection: Future<Output = hyper::Result<()>> {
    /// Takes no further request; those in the works are answered.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<S> Connection for http1::Connection<TokioIo<TcpStream>, S>
where
    S: HttpService<Incoming, ResBody = Watched, Error = Infallible>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

impl<S> Connection for http2::Connection<TokioIo<TcpStream>, S, LocalExecutor>
where
    S: HttpService<Incoming, ResBody = Watched, Error = Infallible>,
    S::Future: 'static,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

/// Drives a connection until it closes, has been idle for too long, or has to end for another reason.
async fn run(mut connection: Pin<&mut impl Connection>, ticket: &Ticket, bounds: &Bounds) {
    let mut check = pin!(sleep(bounds.header_wait));
    let closing = loop {
        select! {
            biased;
            ended = connection.as_mut() => return note(ended),
            closing = poll_fn(|cx| ticket.poll_closing(cx, Closing::WhenDone)) => break closing,
            () = check.as_mut() => match ticket.expiry(bounds.header_wait, bounds.keep_alive) {
                // What did not come in all that time is not waited for again.
                Expiry::Due if !ticket.was_used() => return,
                Expiry::Due => break Closing::WhenDone,
                Expiry::After(time) => check.as_mut().reset(Instant::now() + time),
            }
        }
    };
    let is_open = closing.await_last_request(connection.as_mut(), ticket).await;
    if !is_open || !ticket.was_used() {
        // Without a request no response is due.
        return;
    }
    connection.as_mut().graceful_shutdown();
    if closing.lets_finish(ticket) {
        finish(connection, ticket).await;
    } else {
        // One poll to send GOAWAY or what else is ready; no more, because others need the place.
        poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx).is_ready())).await;
    }
}

impl Closing {
    /// Gives a request that is probably on its way the time to arrive. Returns whether the connection is still open.
    async fn await_last_request(self, connection: Pin<&mut impl Connection>, ticket: &Ticket) -> bool {
        match self {
            Self::WhenDone => first_request(connection, ticket).await,
            Self::MakeRoom => last_moment(connection).await,
            Self::Now => true,
        }
    }

    /// Returns whether the requests in flight may finish. A connection that had to make room, and got a request in the same
    /// moment, takes its place back for it.
    fn lets_finish(self, ticket: &Ticket) -> bool {
        match self {
            Self::WhenDone => true,
            Self::MakeRoom => !ticket.is_idle() && ticket.comes_back(),
            Self::Now => false,
        }
    }
}

/// Drives a connection that has to make room a little longer: a client that sent a request before it knew does not repeat it.
/// Returns whether it is still open.
async fn last_moment(connection: Pin<&mut impl Connection>) -> bool {
    timeout(LAST_MOMENT, connection).await.map(note).is_err()
}

/// Drives a connection until it had a request, if it comes at all. Returns whether it is still open.
async fn first_request(mut connection: Pin<&mut impl Connection>, ticket: &Ticket) -> bool {
    let request = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if ticket.was_used() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match timeout(FIRST_REQUEST, request).await {
        Ok(Some(ended)) => {
            note(ended);
            false
        }
        Ok(None) | Err(_) => true,
    }
}

/// Drives a connection that takes no further request until its requests are answered. One that has none in the works, but
/// does not end, is cut.
async fn finish(mut connection: Pin<&mut impl Connection>, ticket: &Ticket) {
    loop {
        select! {
            biased;
            ended = connection.as_mut() => return note(ended),
            _ = poll_fn(|cx| ticket.poll_closing(cx, Closing::Now)) => return,
            () = sleep(LINGER) => if ticket.expiry(LINGER, LINGER) == Expiry::Due { return }
        }
    }
}

/// Returns when a connection has to end that had no request yet.
async fn closes_unused(ticket: &Ticket) {
    match poll_fn(|cx| ticket.poll_closing(cx, Closing::WhenDone)).await {
        Closing::WhenDone => sleep(FIRST_REQUEST).await,
        Closing::MakeRoom => sleep(LAST_MOMENT).await,
        Closing::Now => {}
    }
}

/// Connections end in many ways that are nobody's fault; the request log has what matters.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = %chain(&error), "connection ended with an error");
    }
}

/// Runs a connection's streams on this thread, and ends those whose client takes nothing for too long.
#[derive(Clone)]
struct LocalExecutor {
    stall: Duration,
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(end_if_stalled(future, self.stall));
    }
}
