//! Reads a body into buffers of the sizes of parts.

use std::{collections::VecDeque, mem};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};

use super::{
    PartSizes,
    memory::{MemoryBudget, MemoryPermit},
};
use crate::{
    Source, SourceError, StorageError,
    bucket::Pieces,
    source::{LengthCheck, WrongLength},
};

/// Smaller chunks are copied into one buffer: each would keep its whole network buffer alive.
const COPY_BELOW: usize = 64 << 10;

/// Size of the buffer for small chunks.
const COPY_BUFFER: usize = 256 << 10;

/// Received bytes, in order, with few copies.
#[derive(Debug, Default)]
pub(super) struct ChunkBuffer {
    pieces: VecDeque<Bytes>,
    loose: BytesMut,
    pub(super) length: u64,
}

impl ChunkBuffer {
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len() as u64;
        if chunk.len() >= COPY_BELOW {
            self.settle();
            self.pieces.push_back(chunk);
            return;
        }
        if self.loose.capacity() - self.loose.len() < chunk.len() {
            self.settle();
            self.loose = BytesMut::with_capacity(COPY_BUFFER);
        }
        self.loose.extend_from_slice(&chunk);
    }

    fn settle(&mut self) {
        if !self.loose.is_empty() {
            self.pieces.push_back(mem::take(&mut self.loose).freeze());
        }
    }

    /// Splits off the first `length` bytes, or all.
    fn split_to(&mut self, length: u64) -> Self {
        self.settle();
        let mut first = Self::default();
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

    fn append(&mut self, mut other: Self) {
        self.settle();
        other.settle();
        self.length += other.length;
        self.pieces.append(&mut other.pieces);
    }

    /// Returns the bytes as the body of a request.
    pub(super) fn into_pieces(mut self) -> Pieces {
        self.settle();
        self.pieces.into()
    }

    /// Copies the bytes into one buffer, so that no network buffer stays alive.
    pub(super) fn into_bytes(self) -> Bytes {
        let mut all = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
        self.into_pieces().iter().for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }
}

/// Reads a body and checks that it has its announced length.
pub(super) struct BodyReader {
    chunks: BoxStream<'static, Result<Bytes, SourceError>>,
    length: Option<u64>,
    check: LengthCheck,
    rest: Bytes,
}

impl BodyReader {
    pub(super) fn new(source: Source) -> Self {
        let Source { length, chunks, .. } = source;
        Self { chunks, length, check: LengthCheck::new(length), rest: Bytes::new() }
    }

    /// Returns the announced length.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns the next `wanted` bytes; fewer only at the end of a body that announced no length.
    pub(super) async fn take(&mut self, wanted: u64) -> Result<ChunkBuffer, StorageError> {
        let mut gathered = ChunkBuffer::default();
        while gathered.length < wanted {
            if self.rest.is_empty() && !self.receive().await? {
                break;
            }
            let missing = usize::try_from(wanted - gathered.length).unwrap_or(usize::MAX);
            gathered.push(self.rest.split_to(missing.min(self.rest.len())));
        }
        Ok(gathered)
    }

    /// Checks that the body ends here.
    pub(super) async fn finish(&mut self) -> Result<(), StorageError> {
        while self.rest.is_empty() {
            if !self.receive().await? {
                return Ok(());
            }
        }
        Err(WrongLength::Long.into())
    }

    /// Waits for the next chunk; returns `false` at the end of the body.
    async fn receive(&mut self) -> Result<bool, StorageError> {
        let Some(chunk) = self.chunks.next().await else {
            self.check.finish()?;
            return Ok(false);
        };
        self.rest = chunk?;
        self.check.add(&self.rest)?;
        Ok(true)
    }
}

/// The bytes of one part, and the memory that they count against.
#[derive(Debug)]
pub(super) struct PartBody {
    pub(super) content: ChunkBuffer,
    pub(super) permit: MemoryPermit,
}

/// Splits a body into parts. The memory of a part is acquired before it is read.
pub(super) struct PartSplitter<'a> {
    memory: &'a MemoryBudget,
    sizes: PartSizes,
    pub(super) reader: BodyReader,
    /// Lengths of the remaining parts; empty while the end of the body is unknown.
    planned: VecDeque<u64>,
    /// Bytes read ahead, of a body without an announced length.
    ahead: Option<PartBody>,
    is_at_end: bool,
}

impl<'a> PartSplitter<'a> {
    /// `planned`: the lengths of all parts, for a body with an announced length.
    pub(super) fn new(
        memory: &'a MemoryBudget,
        sizes: PartSizes,
        reader: BodyReader,
        planned: Vec<u64>,
    ) -> Self {
        let is_at_end = reader.length().is_some();
        Self { memory, sizes, reader, planned: planned.into(), ahead: None, is_at_end }
    }

    /// Continues a body without an announced length, whose first bytes are `ahead`.
    pub(super) fn resume(
        memory: &'a MemoryBudget,
        sizes: PartSizes,
        reader: BodyReader,
        ahead: PartBody,
    ) -> Self {
        let is_at_end = ahead.content.length < sizes.read_ahead();
        let planned =
            if is_at_end { sizes.split(ahead.content.length, false).into() } else { VecDeque::new() };
        Self { memory, sizes, reader, planned, ahead: Some(ahead), is_at_end }
    }

    /// Number of remaining parts; `None` while the end of the body is unknown.
    pub(super) fn parts_left(&self) -> Option<usize> {
        self.is_at_end.then_some(self.planned.len())
    }

    /// Returns the next part, `None` at the end of the body. Without an announced length it has at
    /// least `part_bytes`.
    pub(super) async fn next(&mut self, part_bytes: u64) -> Result<Option<PartBody>, StorageError> {
        if !self.is_at_end {
            self.read_ahead(part_bytes).await?;
        }
        let length = match self.planned.pop_front() {
            Some(length) => length,
            None if self.is_at_end => return self.reader.finish().await.map(|()| None),
            None => part_bytes,
        };
        match &mut self.ahead {
            None => {
                let permit = self.memory.acquire(length).await?;
                Ok(Some(PartBody { content: self.reader.take(length).await?, permit }))
            }
            Some(ahead) => {
                let content = ahead.content.split_to(length);
                let permit = ahead.permit.split(length);
                Ok(permit.map(|permit| PartBody { content, permit }))
            }
        }
    }

    /// Reads ahead until the next part is followed by at least the smallest part, or by the end of
    /// the body.
    async fn read_ahead(&mut self, part_bytes: u64) -> Result<(), StorageError> {
        let wanted = part_bytes + self.sizes.min_part;
        let have = self.ahead.as_ref().map_or(0, |ahead| ahead.content.length);
        let missing = wanted.saturating_sub(have);
        // Released before it is acquired again for both: a waiter must hold no memory.
        let mut content = ChunkBuffer::default();
        if let Some(ahead) = self.ahead.take() {
            content = ahead.content;
            drop(ahead.permit);
        }
        let permit = self.memory.acquire(wanted).await?;
        content.append(self.reader.take(missing).await?);
        if content.length < wanted {
            self.is_at_end = true;
            self.planned = self.sizes.split(content.length, false).into();
        }
        self.ahead = Some(PartBody { content, permit });
        Ok(())
    }
}
