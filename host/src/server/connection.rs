//! One connection: HTTP/1.1, or HTTP/2 by prior knowledge.

use std::{io, pin::pin, rc::Rc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{net::TcpStream, select, sync::watch, time::timeout};

use super::{Bounds, respond::Responder};

/// How an HTTP/2 connection begins (RFC 9113, 3.4). No HTTP/1 method does.
const HTTP2_PREFACE: &[u8] = b"PRI * ";
/// Most streams of one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// How often a silent HTTP/2 peer is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// Flow-control windows of HTTP/2: what a peer may send ahead on one stream, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Serves a connection until it closes, or, after the signal to stop, until its requests under way are answered.
pub(super) async fn serve(stream: TcpStream, responder: Rc<Responder>, stopped: watch::Receiver<bool>) {
    let bounds = responder.bounds().clone();
    if let Err(error) = prepare(&stream, &bounds) {
        tracing::debug!(error = %error, "a connection closed at once");
        return;
    }
    let mut stopping = stopped.clone();
    let first = select! {
        first = timeout(bounds.header_wait, speaks_http2(&stream)) => first,
        _ = stopping.wait_for(|stopped| *stopped) => return,
    };
    match first {
        Ok(Ok(true)) => http2(stream, responder, &bounds, stopped).await,
        Ok(Ok(false)) => http1(stream, responder, &bounds, stopped).await,
        Ok(Err(_)) | Err(_) => {}
    }
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
        // A part of the preface: rare, and over as soon as the rest is there.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The longest head that is read at all. Above it hyper refuses with an empty body, which some clients repeat; below it a
/// head that is too long gets an answer that they can read.
fn hard_header_bytes(bounds: &Bounds) -> usize {
    bounds.header_bytes.max(bounds.header_bytes.saturating_mul(4).min(bounds.read_buffer_bytes / 2))
}

async fn http1(
    stream: TcpStream,
    responder: Rc<Responder>,
    bounds: &Bounds,
    mut stopped: watch::Receiver<bool>,
) {
    let client = responder.client();
    let service = service_fn(|request: http::Request<Incoming>| responder.respond(&client, request));
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.idle)
            .max_header_size(hard_header_bytes(bounds))
            .max_buf_size(bounds.read_buffer_bytes)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = select! {
        ended = connection.as_mut() => ended,
        _ = stopped.wait_for(|stopped| *stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note(ended);
}

async fn http2(
    stream: TcpStream,
    responder: Rc<Responder>,
    bounds: &Bounds,
    mut stopped: watch::Receiver<bool>,
) {
    let client = responder.client();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (responder, client) = (responder.clone(), client.clone());
        async move { responder.respond(&client, request).await }
    });
    let mut connection = pin!(
        hyper::server::conn::http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(bounds.idle)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(hard_header_bytes(bounds)).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(bounds.read_buffer_bytes)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = select! {
        ended = connection.as_mut() => ended,
        _ = stopped.wait_for(|stopped| *stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note(ended);
}

/// Connections end in many ways that are nobody's fault; the request log has what matters.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended");
    }
}

/// Runs a connection's streams on this thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
