//! How much memory one connection may take for itself, by how many there are.
//!
//! What a connection reads ahead and has not sent yet is in no other budget. A fixed size for each would be too small for one
//! connection that is alone, or too large for a thousand: so each gets a part of a sum when it begins, and keeps it.

/// What all connections share for their buffers, in bytes, as long as there are few; each gets its part.
const BUFFERS_BYTES: usize = 8 * 1024 * 1024;
/// The largest buffer: larger ones move no more bytes in a second.
const MAX_BUFFER_BYTES: usize = 256 * 1024;
/// What the smallest one has besides a head.
const BESIDES_HEAD_BYTES: usize = 16 * 1024;
/// What the heads of all streams of HTTP/2 may take, in bytes, as long as there are few connections: they are read before
/// anybody can say that there is no room for them.
const HEADS_BYTES: usize = 16 * 1024 * 1024;
/// Most streams of one connection at once. The standard advises against fewer than 100; but each may hold a file.
const MAX_STREAMS: usize = 64;
/// The fewest: a client that has to wait for one is slower, and no worse.
const MIN_STREAMS: usize = 4;

/// One connection's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Most bytes that are read ahead of whoever takes them, and that wait to be sent.
    pub(super) buffer_bytes: usize,
    /// Most streams of HTTP/2 at once.
    pub(super) streams: u32,
}

impl Share {
    /// The part of a connection that is one of `open`. A head may have `header_bytes`.
    pub(super) fn of(open: usize, header_bytes: usize) -> Self {
        let open = open.max(1);
        let smallest = header_bytes.saturating_add(BESIDES_HEAD_BYTES);
        let streams = HEADS_BYTES / open / header_bytes.max(1);
        Self {
            buffer_bytes: (BUFFERS_BYTES / open).min(MAX_BUFFER_BYTES).max(smallest),
            streams: u32::try_from(streams.clamp(MIN_STREAMS, MAX_STREAMS)).unwrap_or(1),
        }
    }

    /// The part of a connection for which there is no room.
    pub(super) fn smallest(header_bytes: usize) -> Self {
        Self::of(usize::MAX, header_bytes)
    }
}

#[cfg(test)]
mod tests;
