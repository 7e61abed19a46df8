//! Writes a source to a file.
//!
//! Chunks are collected and written together; large ones without copying them. A short body is written in
//! place, as it arrives; of a long one a thread writes while the next chunks are collected.

use std::{fs::File, io, mem, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    budget::{Hold, Transfer},
    disk::Disk,
    errors,
    space::SpaceClaim,
    sys,
    threads::{BlockingTask, Lane},
};
use crate::{
    Source, StorageError,
    chunk_buffer::{ChunkBuffer, Copies},
    source::LengthCheck,
};

/// A body with at most this announced length is written in place, if the disk is fast. BuildKit
/// sends blocks of this size one after the other, so a second thread gains nothing.
const SHORT_BYTES: u64 = 1 << 20;

/// Most bytes of one write in place: they stay in the core's cache from the socket to the file.
const IN_PLACE_BYTES: u64 = 256 << 10;

/// The same for a body without an announced length.
pub(super) const SMALL_BYTES: u64 = 64 << 10;

/// Chunks of a body while there are few transfers. With many, a writer copies all chunks that are smaller than its share of the
/// budget: each would keep a buffer of its connection that is several times as large.
const COPIES: Copies = Copies { below: 16 << 10, buffer: 32 << 10 };

/// A share below this is one of many.
const CROWDED_BELOW: usize = 256 << 10;

/// Most pieces of one write.
const MAX_PIECES: usize = 256;

const CONTEXT: &str = "writing content";

/// The file to write to.
pub(super) trait WriteTarget: Send + Sync + 'static {
    /// Returns the file. May block unless [`Self::is_open`].
    fn file(&self) -> Result<Arc<File>, StorageError>;

    /// Returns whether the file is open.
    fn is_open(&self) -> bool {
        true
    }
}

/// Writes the whole source at `at` and returns its length. Never writes more than `source.length`
/// bytes, nor more than `claim` has space for. When it returns, nothing is being written any more,
/// unless the disk does not respond; `to` is always dropped after the last write.
pub(super) async fn write<W: WriteTarget>(
    disk: &Arc<Disk>,
    to: &Arc<W>,
    at: u64,
    source: Source,
    transfer: &Transfer,
    claim: &mut SpaceClaim,
) -> Result<u64, StorageError> {
    let is_short = source.length.is_some_and(|length| length <= SHORT_BYTES);
    let batch = Batch::new(transfer);
    let mut writer =
        Writer { disk, to, at, batch, transfer, claim, under_way: None, is_small: true, is_short };
    let result = pump(&mut writer, source).await;
    let settled = writer.settle().await;
    let length = result?;
    settled?;
    Ok(length)
}

async fn pump<W: WriteTarget>(writer: &mut Writer<'_, W>, mut source: Source) -> Result<u64, StorageError> {
    let mut check = LengthCheck::new(source.length);
    while let Some(chunk) = source.chunks.next().await {
        let chunk = chunk?;
        check.add(&chunk)?;
        writer.push(chunk).await?;
    }
    let length = check.finish()?;
    writer.finish().await?;
    Ok(length)
}

fn copies(share: usize) -> Copies {
    if share < CROWDED_BELOW { Copies { below: share, buffer: share } } else { COPIES }
}

/// Chunks to write together.
struct Batch {
    chunks: ChunkBuffer,
    hold: Hold,
}

impl Batch {
    fn new(transfer: &Transfer) -> Self {
        Self { chunks: ChunkBuffer::new(copies(transfer.chunk_bytes())), hold: transfer.hold() }
    }

    fn push(&mut self, chunk: Bytes) {
        self.hold.grow(chunk.len());
        self.chunks.push(chunk);
    }

    fn bytes(&self) -> u64 {
        self.chunks.length()
    }

    /// Takes `self` whole: a closure that captured only the chunks would leave their hold behind,
    /// and they would not count while they are written.
    fn write(self, file: &File, at: u64) -> io::Result<()> {
        let Self { chunks, hold: _hold } = self;
        sys::write_all_at(file, &chunks.into_pieces(), at)
    }
}

struct Writer<'a, W> {
    disk: &'a Arc<Disk>,
    to: &'a Arc<W>,
    at: u64,
    batch: Batch,
    transfer: &'a Transfer,
    claim: &'a mut SpaceClaim,
    /// The running write of a thread, and its length in bytes.
    under_way: Option<(u64, BlockingTask<()>)>,
    /// No write has run on a thread yet.
    is_small: bool,
    is_short: bool,
}

impl<W: WriteTarget> Writer<'_, W> {
    async fn push(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.batch.push(chunk);
        let most = self.transfer.chunk_bytes() as u64;
        let most = if self.is_short { most.min(IN_PLACE_BYTES) } else { most };
        let is_full = self.batch.bytes() >= most;
        if is_full || self.batch.chunks.pieces() >= MAX_PIECES { self.start().await } else { Ok(()) }
    }

    /// Returns whether a write can be done in place.
    fn is_quick(&self) -> bool {
        self.disk.inline.writes.allowed() && self.to.is_open()
    }

    /// Takes the collected chunks, and their offset.
    fn take_batch(&mut self) -> (Batch, u64) {
        let batch = mem::replace(&mut self.batch, Batch::new(self.transfer));
        let at = self.at;
        self.at += batch.bytes();
        (batch, at)
    }

    /// Writes the collected chunks in place.
    fn write_in_place(&mut self) -> Result<(), StorageError> {
        let bytes = self.batch.bytes();
        let (batch, at) = self.take_batch();
        let file = self.to.file()?;
        self.disk.inline.writes.timed(|| batch.write(&file, at)).map_err(errors::failed(CONTEXT))?;
        self.claim.written(bytes);
        Ok(())
    }

    /// Starts to write the collected chunks on a thread, and waits for it if the memory budget is
    /// used up.
    async fn start(&mut self) -> Result<(), StorageError> {
        self.settle().await?;
        let bytes = self.batch.bytes();
        self.disk.cover(self.claim, bytes).await?;
        if self.is_short && self.is_quick() {
            return self.write_in_place();
        }
        self.is_small = false;
        let ((batch, at), to) = (self.take_batch(), Arc::clone(self.to));
        let write = move || batch.write(&*to.file()?, at).map_err(errors::failed(CONTEXT));
        let task = self.disk.threads.start(Lane::Transfers, CONTEXT, write).await?;
        self.under_way = Some((bytes, task));
        if self.transfer.is_tight() { self.settle().await } else { Ok(()) }
    }

    async fn finish(&mut self) -> Result<(), StorageError> {
        if self.batch.bytes() == 0 {
            return Ok(());
        }
        if self.is_small && self.batch.bytes() <= SMALL_BYTES && self.is_quick() {
            self.disk.cover(self.claim, self.batch.bytes()).await?;
            return self.write_in_place();
        }
        self.start().await
    }

    /// Waits for the running write.
    async fn settle(&mut self) -> Result<(), StorageError> {
        // It stays here until it is done, in case this future is dropped.
        let Some((bytes, task)) = &mut self.under_way else { return Ok(()) };
        let (bytes, outcome) = (*bytes, task.outcome().await);
        self.under_way = None;
        outcome?;
        self.claim.written(bytes);
        Ok(())
    }
}
