//! Writes a source to a place in a file.
//!
//! Chunks are gathered without copying them and written together. A short body is written in place, as it comes; of a long one a
//! thread writes while the next chunks are gathered.

use std::{fs::File, io, mem, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::{errors, kernel, pace::PACE};
use crate::storage::{
    Source, StorageError,
    budget::{Hold, Transfer},
};

/// A body that is known to be no longer is written in place, if the disk keeps up: BuildKit's blocks are as long, and sent one after
/// the other, so that nothing is gained by two threads.
const SHORT_BYTES: u64 = 1 << 20;

/// Most bytes that are written in place at once: they stay in the core's cache from the socket to the file.
const IN_PLACE_BYTES: u64 = 256 << 10;

/// The same of a body that did not say how long it is.
pub(super) const SMALL_BYTES: u64 = 64 << 10;

/// Tiny chunks are written before there are more of them than this: each one keeps its whole network buffer alive.
const MAX_CHUNKS: usize = 256;

const CONTEXT: &str = "write content";

/// Writes the whole source from `at` on and returns how many bytes that were. Never writes more than `source.length`
/// bytes. When it returns, nothing is being written any more; when it is dropped, `to` is dropped after the last write.
pub(super) async fn write<W>(
    to: &Arc<W>,
    at: u64,
    source: Source,
    transfer: &Transfer,
) -> Result<u64, StorageError>
where
    W: AsRef<File> + Send + Sync + 'static,
{
    let is_short = source.length.is_some_and(|length| length <= SHORT_BYTES);
    let batch = Batch::new(transfer);
    let mut writer = Writer { to, at, batch, transfer, under_way: None, is_small: true, is_short };
    let result = pump(&mut writer, source).await;
    let settled = writer.settle().await;
    let length = result?;
    settled?;
    Ok(length)
}

async fn pump<W>(writer: &mut Writer<'_, W>, mut source: Source) -> Result<u64, StorageError>
where
    W: AsRef<File> + Send + Sync + 'static,
{
    let mut received = 0_u64;
    while let Some(chunk) = source.chunks.next().await {
        let chunk = chunk?;
        received += chunk.len() as u64;
        if source.length.is_some_and(|length| received > length) {
            return Err(StorageError::Invalid("the body is longer than announced".to_owned()));
        }
        writer.push(chunk).await?;
    }
    if source.length.is_some_and(|length| received < length) {
        return Err(StorageError::Invalid("the body ended early".to_owned()));
    }
    writer.finish().await?;
    Ok(received)
}

/// Chunks that are to be written together.
struct Batch {
    chunks: Vec<Bytes>,
    bytes: u64,
    hold: Hold,
}

impl Batch {
    fn new(transfer: &Transfer) -> Self {
        Self { chunks: Vec::new(), bytes: 0, hold: transfer.hold() }
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len() as u64;
        self.hold.grow(chunk.len());
        self.chunks.push(chunk);
    }

    /// Takes the batch whole: a closure that named only its chunks would leave the account of them behind, and the bytes
    /// would no longer count while they are written.
    fn write(self, file: &File, at: u64) -> io::Result<()> {
        kernel::write_all_at(file, &self.chunks, at)
    }
}

struct Writer<'a, W> {
    to: &'a Arc<W>,
    at: u64,
    batch: Batch,
    transfer: &'a Transfer,
    under_way: Option<JoinHandle<io::Result<()>>>,
    /// Nothing was handed to another thread yet.
    is_small: bool,
    is_short: bool,
}

impl<W: AsRef<File> + Send + Sync + 'static> Writer<'_, W> {
    async fn push(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.batch.push(chunk);
        let most = self.transfer.chunk_bytes() as u64;
        let most = if self.is_short { most.min(IN_PLACE_BYTES) } else { most };
        let is_full = self.batch.bytes >= most;
        if is_full || self.batch.chunks.len() >= MAX_CHUNKS { self.start().await } else { Ok(()) }
    }

    /// Writes what is gathered here and now.
    fn write_in_place(&mut self) -> Result<(), StorageError> {
        let batch = mem::replace(&mut self.batch, Batch::new(self.transfer));
        let (file, at) = ((**self.to).as_ref(), self.at);
        self.at += batch.bytes;
        PACE.timed(|| batch.write(file, at)).map_err(errors::failed(CONTEXT))
    }

    /// Hands over what is gathered, and waits until it is written where there is no memory to gather more.
    async fn start(&mut self) -> Result<(), StorageError> {
        self.settle().await?;
        if self.is_short && PACE.is_calm() {
            return self.write_in_place();
        }
        self.is_small = false;
        let batch = mem::replace(&mut self.batch, Batch::new(self.transfer));
        let (to, at) = (Arc::clone(self.to), self.at);
        self.at += batch.bytes;
        let write = move || batch.write((*to).as_ref(), at);
        self.under_way = Some(tokio::task::spawn_blocking(write));
        if self.transfer.is_tight() { self.settle().await } else { Ok(()) }
    }

    async fn finish(&mut self) -> Result<(), StorageError> {
        if self.batch.chunks.is_empty() {
            return Ok(());
        }
        if self.is_small && self.batch.bytes <= SMALL_BYTES && PACE.is_calm() {
            return self.write_in_place();
        }
        self.start().await
    }

    /// Waits for the write that is under way.
    async fn settle(&mut self) -> Result<(), StorageError> {
        // It stays in its place until it is done: who drops this future must not lose it.
        let Some(write) = &mut self.under_way else { return Ok(()) };
        let result = write.await;
        self.under_way = None;
        match result {
            Ok(written) => written.map_err(errors::failed(CONTEXT)),
            Err(error) => Err(errors::lost(CONTEXT, error)),
        }
    }
}
