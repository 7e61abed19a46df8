//! Collects the chunks of a body, with few copies.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Which chunks are copied. A chunk that is kept keeps its connection's whole buffer alive, which is in no budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copies {
    /// Smaller chunks are copied.
    pub(crate) below: usize,
    /// Size of a buffer that they are copied into; at least `below`.
    pub(crate) buffer: usize,
}

/// Received bytes, in order.
#[derive(Debug)]
pub(crate) struct ChunkBuffer {
    copies: Copies,
    pieces: VecDeque<Bytes>,
    /// Copied chunks after the last piece, and room for more.
    loose: BytesMut,
    length: u64,
}

impl ChunkBuffer {
    pub(crate) fn new(copies: Copies) -> Self {
        Self { copies, pieces: VecDeque::new(), loose: BytesMut::new(), length: 0 }
    }

    /// Number of bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len() as u64;
        if chunk.len() >= self.copies.below {
            self.settle();
            self.pieces.push_back(chunk);
            return;
        }
        if self.loose.capacity() - self.loose.len() < chunk.len() {
            self.settle();
            self.loose = BytesMut::with_capacity(self.copies.buffer);
        }
        self.loose.extend_from_slice(&chunk);
    }

    /// Makes a piece of the copied chunks. The next ones get the rest of their buffer.
    fn settle(&mut self) {
        if !self.loose.is_empty() {
            self.pieces.push_back(self.loose.split().freeze());
        }
    }

    /// Returns all bytes.
    pub(crate) fn into_pieces(mut self) -> Vec<Bytes> {
        self.settle();
        self.pieces.into()
    }

    /// Number of pieces, without copied chunks after the last one.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }
}

#[cfg(feature = "bucket")]
impl ChunkBuffer {
    /// Splits off the first `length` bytes, or all.
    pub(crate) fn split_to(&mut self, length: u64) -> Self {
        self.settle();
        let mut first = Self::new(self.copies);
        while first.length < length {
            let Some(mut piece) = self.pieces.pop_front() else { break };
            let wanted = usize::try_from(length - first.length).unwrap_or(usize::MAX);
            if piece.len() > wanted {
                let rest = piece.split_off(wanted);
                self.pieces.push_front(rest);
            }
            first.length += piece.len() as u64;
            first.pieces.push_back(piece);
        }
        self.length -= first.length;
        first
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.settle();
        other.settle();
        self.length += other.length;
        self.pieces.append(&mut other.pieces);
    }

    /// Copies the bytes into one buffer, so that no network buffer stays alive.
    pub(crate) fn into_bytes(self) -> Bytes {
        let mut all = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
        self.into_pieces().iter().for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }
}
