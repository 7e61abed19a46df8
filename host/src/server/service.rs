//! The server as a service: requests come from a program that embeds it, in place of connections.
//!
//! A request counts as a connection of its own, so that all limits hold. It is handled by one of
//! the worker threads, on whose runtime its futures are polled; its bodies stream between the two.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tower_service::Service;

use super::{
    connections::{ActiveRequest, ConnectionGuard, Connections},
    peer::Peer,
    respond::busy,
    worker::RunningWorker,
};
use crate::message::{BoxError, Outgoing, WireBody};

/// Larder as a [`tower_service::Service`], to be mounted at the root of an HTTP server: for
/// example as the fallback of an axum router. Made by [`Larder::service`](crate::Larder::service);
/// clones are the same service.
///
/// - The URLs that clients get begin with `server.base_url`. Without it they begin with `http://`
///   and the request's `Host`; so set it where clients use HTTPS, or have the proxy's address among
///   `server.trusted_proxies`.
/// - Paths are whole: below a prefix, the URLs that clients get would lack it.
/// - Put [`ClientAddress`] into a request's extensions if you know it: the limit for each client,
///   the log and `trusted_proxies` go by it.
/// - It responds to every request; a request above the limits, or after
///   [`Larder::stop`](crate::Larder::stop), gets a 503 with `Retry-After`. It is always ready.
/// - How long a client may take to read a response is the embedding program's to limit.
///
/// It runs under any executor. The worker threads are Larder's own.
#[derive(Clone)]
pub struct LarderService(Arc<Shared>);

struct Shared {
    workers: Vec<Arc<RunningWorker>>,
    next: AtomicUsize,
    connections: Arc<Connections>,
}

/// The address of the client, or of the proxy in front, as an extension of a request for
/// [`LarderService`].
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl LarderService {
    pub(super) fn new(workers: Vec<Arc<RunningWorker>>, connections: Arc<Connections>) -> Self {
        Self(Arc::new(Shared { workers, next: AtomicUsize::new(0), connections }))
    }
}

impl fmt::Debug for LarderService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LarderService").finish_non_exhaustive()
    }
}

impl<B> Service<http::Request<B>> for LarderService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ResponseFuture {
        let workers = &self.0.workers;
        let worker = workers[self.0.next.fetch_add(1, Relaxed) % workers.len()].clone();
        let request = request.map(|body| WireBody::Callers(body.map_err(Into::into).boxed_unsync()));
        let response = respond(self.0.connections.clone(), worker.clone(), request);
        ResponseFuture { response: Box::pin(response), worker }
    }
}

async fn respond(
    connections: Arc<Connections>,
    worker: Arc<RunningWorker>,
    request: http::Request<WireBody>,
) -> http::Response<ResponseBody> {
    let responder = &worker.responder;
    let address = request.extensions().get().map(|ClientAddress(address)| *address);
    let peer = Peer::of_caller(address, responder.trusted_proxies());
    let is_exempt = address.is_none() || peer.is_trusted;
    let is_stopped = connections.deadline().is_some();
    let guard = if is_stopped { None } else { connections.admit(peer.address, is_exempt) };
    let Some(guard) = guard else { return busy().map(ResponseBody::uncounted) };
    let Some(active) = guard.begin().await else { return busy().map(ResponseBody::uncounted) };
    let response = responder.respond(&responder.client(), &active, peer, request).await;
    response
        .map(|body| ResponseBody { body, counted: Some(Counted { worker, _active: active, _guard: guard }) })
}

/// The response of [`LarderService`], on its way.
pub struct ResponseFuture {
    response: Pin<Box<dyn Future<Output = http::Response<ResponseBody>> + Send>>,
    worker: Arc<RunningWorker>,
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { response, worker } = &mut *self;
        if worker.has_ended() {
            return Poll::Ready(Ok(busy().map(ResponseBody::uncounted)));
        }
        let _runtime = worker.runtime.enter();
        response.as_mut().poll(cx).map(Ok)
    }
}

/// The body of a response of [`LarderService`]. Its request is in flight until it is dropped.
pub struct ResponseBody {
    body: Outgoing,
    /// `None` for the response to a request that was refused.
    counted: Option<Counted>,
}

/// What a request in flight holds.
struct Counted {
    worker: Arc<RunningWorker>,
    _active: ActiveRequest,
    _guard: ConnectionGuard,
}

impl ResponseBody {
    fn uncounted(body: Outgoing) -> Self {
        Self { body, counted: None }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { body, counted } = &mut *self;
        let Some(Counted { worker, .. }) = counted else { return Pin::new(body).poll_frame(cx) };
        if worker.has_ended() {
            return Poll::Ready(Some(Err(io::Error::other("the server has stopped"))));
        }
        let _runtime = worker.runtime.enter();
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
