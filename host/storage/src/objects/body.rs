//! Reads a body into buffers of the sizes of parts.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};

use super::{
    PartSizes,
    memory::{MemoryBudget, MemoryPermit},
};
use crate::{
    Source, SourceError, StorageError,
    chunk_buffer::{ChunkBuffer, Copies},
    source::{LengthCheck, WrongLength},
};

/// Chunks of a body that is on its way to a bucket.
pub(super) const COPIES: Copies = Copies { below: 64 << 10, buffer: 256 << 10 };

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
        let mut gathered = ChunkBuffer::new(COPIES);
        while gathered.length() < wanted {
            if self.rest.is_empty() && !self.receive().await? {
                break;
            }
            let missing = usize::try_from(wanted - gathered.length()).unwrap_or(usize::MAX);
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
        let is_at_end = ahead.content.length() < sizes.read_ahead();
        let planned =
            if is_at_end { sizes.split(ahead.content.length(), false).into() } else { VecDeque::new() };
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
        let have = self.ahead.as_ref().map_or(0, |ahead| ahead.content.length());
        let missing = wanted.saturating_sub(have);
        // Released before it is acquired again for both: a waiter must hold no memory.
        let mut content = ChunkBuffer::new(COPIES);
        if let Some(ahead) = self.ahead.take() {
            content = ahead.content;
            drop(ahead.permit);
        }
        let permit = self.memory.acquire(wanted).await?;
        content.append(self.reader.take(missing).await?);
        if content.length() < wanted {
            self.is_at_end = true;
            self.planned = self.sizes.split(content.length(), false).into();
        }
        self.ahead = Some(PartBody { content, permit });
        Ok(())
    }
}
