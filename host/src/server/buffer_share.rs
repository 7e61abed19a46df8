//! The buffers of one connection, sized by the number of connections.
//!
//! The bytes that a connection has read ahead, or has not sent yet, are in no other budget. A fixed
//! size would be too small for a single connection, or too large for a thousand. So each gets a
//! part of a total when it begins, and keeps it.

/// Buffers of all connections together, in bytes, while there are few.
const BUFFERS_BYTES: usize = 8 * 1024 * 1024;
/// The largest buffer, in bytes: larger ones gain no throughput.
const MAX_BUFFER_BYTES: usize = 256 * 1024;
/// The smallest buffer besides a head, in bytes.
const BESIDES_HEAD_BYTES: usize = 16 * 1024;
/// Heads of all HTTP/2 streams together, in bytes, while there are few connections: they are read
/// before admission.
const HEADS_BYTES: usize = 16 * 1024 * 1024;
/// Most streams of one connection. RFC 9113 (6.5.2) recommends at least 100; but each may hold a
/// file.
const MAX_STREAMS: usize = 64;
/// The fewest: a client that waits for a stream is slower, but does not fail.
const MIN_STREAMS: usize = 4;

/// One connection's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Most bytes that are read ahead, and most that wait to be sent.
    pub(super) buffer_bytes: usize,
    /// Most streams of HTTP/2 at once.
    pub(super) streams: u32,
}

impl Share {
    /// The share of one of `open` connections, with heads of up to `header_bytes`.
    pub(super) fn of(open: usize, header_bytes: usize) -> Self {
        let open = open.max(1);
        let smallest = header_bytes.saturating_add(BESIDES_HEAD_BYTES);
        let streams = HEADS_BYTES / open / header_bytes.max(1);
        Self {
            buffer_bytes: (BUFFERS_BYTES / open).min(MAX_BUFFER_BYTES).max(smallest),
            streams: u32::try_from(streams.clamp(MIN_STREAMS, MAX_STREAMS)).unwrap_or(1),
        }
    }

    /// The share of a connection that is refused.
    pub(super) fn smallest(header_bytes: usize) -> Self {
        Self::of(usize::MAX, header_bytes)
    }
}

#[cfg(test)]
mod tests;
