//! The socket of an HTTP/1 connection. hyper refuses a head that it cannot parse, or that is too long
//! for its buffer, by itself, with an empty body and without a hook for another. Clients expect an
//! error in JSON, so it is put into that response on its way to the socket.

use std::{
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::stream::Stream;
use crate::message::error_body;

/// Longest head of a response of hyper's own, in bytes.
const MAX_OWN_HEAD_BYTES: usize = 256;
/// The field of such a head that is replaced. Responses of ours that are refusals have a body.
const NO_BODY: &str = "content-length: 0\r\n";

/// A socket. `is_idle` tells whether no request is in flight.
pub(super) struct Wire<Idle> {
    stream: TokioIo<Stream>,
    client: IpAddr,
    is_idle: Idle,
    /// Whether what was sent last may be a part of a response of ours: a refusal follows none of it.
    /// Bytes of an entry may look like one.
    is_responding: bool,
    refusal: Option<Refusal>,
}

impl<Idle: Fn() -> bool> Wire<Idle> {
    /// `client`: the other end, for the log.
    pub(super) fn new(stream: Stream, client: IpAddr, is_idle: Idle) -> Self {
        Self { stream: TokioIo::new(stream), client, is_idle, is_responding: false, refusal: None }
    }

    fn stream(&mut self) -> Pin<&mut TokioIo<Stream>> {
        Pin::new(&mut self.stream)
    }

    /// Sends a response in place of the one that hyper sends. Is ready with the length of hyper's once
    /// all of it is sent.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { stream, refusal, .. } = self;
        let Some(refusal) = refusal else { return Poll::Ready(Ok(0)) };
        while refusal.sent < refusal.response.len() {
            let rest = &refusal.response.as_bytes()[refusal.sent..];
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => refusal.sent += count,
            }
        }
        let replaced = refusal.replaced_bytes;
        self.refusal = None;
        Poll::Ready(Ok(replaced))
    }
}

impl<Idle: Fn() -> bool + Unpin> Read for Wire<Idle> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl<Idle: Fn() -> bool + Unpin> Write for Wire<Idle> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.refusal.is_none() && !self.is_responding {
            self.refusal = Refusal::in_place_of(bytes, self.client);
        }
        if self.refusal.is_some() {
            return self.poll_refusal(cx);
        }
        self.is_responding = true;
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head alone, or a whole response in memory, which is no refusal of hyper's.
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_write(cx, only),
            _ => {
                self.is_responding = true;
                self.stream().poll_write_vectored(cx, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream().poll_flush(cx);
        // hyper flushes when it has written all that it has. The body is gone by then if that was all
        // of the response, else the request is still in flight.
        if flushed.is_ready() && (self.is_idle)() {
            self.is_responding = false;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

/// The response to a request that hyper refuses.
#[derive(Debug)]
struct Refusal {
    response: String,
    sent: usize,
    /// Length of hyper's response.
    replaced_bytes: usize,
}

impl Refusal {
    /// Returns the response that takes the place of hyper's own; `None` for any other bytes.
    fn in_place_of(bytes: &[u8], client: IpAddr) -> Option<Self> {
        let is_short = bytes.len() <= MAX_OWN_HEAD_BYTES;
        if !(is_short && bytes.starts_with(b"HTTP/1.1 4") && bytes.ends_with(b"\r\n\r\n")) {
            return None;
        }
        let head = str::from_utf8(bytes).ok()?;
        // Responses of ours have it.
        if head.contains("\r\nx-ms-request-id:") || !head.contains(NO_BODY) {
            return None;
        }
        let (code, why) = match head.get(9..12)? {
            "400" => ("malformed", "the request's head cannot be parsed"),
            "414" => ("invalid_argument", "the request's target is too long"),
            "431" => ("invalid_argument", "the request's head is too large"),
            _ => return None,
        };
        let id = uuid::Uuid::new_v4().hyphenated().to_string();
        let body = error_body(code, why);
        let fields = format!(
            "content-type: application/json\r\nx-ms-request-id: {id}\r\ncontent-length: {}\r\n",
            body.len()
        );
        tracing::info!(target: "larder::request", id, %client, status = &head[9..12], outcome = "refused", reason = why);
        let response = head.replacen(NO_BODY, &fields, 1) + &body;
        Some(Self { response, sent: 0, replaced_bytes: bytes.len() })
    }
}

#[cfg(test)]
mod tests;
