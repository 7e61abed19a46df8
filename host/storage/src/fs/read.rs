//! Streams extents of a file: the hot path of every download.
//!
//! Bytes in the page cache are read in place, which takes less time than waking another thread;
//! others are read on a thread that may block.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use rustix::fs::Advice;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    budget::{Buffer, Transfer},
    disk::Disk,
    errors,
    read_size::ReadSize,
    sys::{self, MayBlock},
};
use crate::{Content, StorageError, extents::Extent};

/// Up to this size a content is read when it is opened, into one buffer.
const SMALL_BYTES: u64 = 64 << 10;

const CONTEXT: &str = "reading an object";

/// Returns the content of the extents. It holds the descriptor to its end, unless it is small.
pub(super) async fn content(
    disk: &Arc<Disk>,
    file: File,
    descriptor: OwnedSemaphorePermit,
    pieces: Vec<Extent>,
    transfer: Transfer,
) -> Result<Content, StorageError> {
    let length = pieces.iter().map(|piece| piece.length).sum();
    if length == 0 {
        return Ok(Content { length, chunks: stream::empty().boxed() });
    }
    if length <= SMALL_BYTES
        && let Some(buffer) = usize::try_from(length).ok().and_then(|length| transfer.exact_buffer(length))
    {
        let bytes = small(disk, file, pieces, buffer).await?;
        return Ok(Content { length, chunks: stream::iter([Ok(bytes)]).boxed() });
    }
    let reader = Reader {
        disk: Arc::clone(disk),
        file: Arc::new(file),
        _descriptor: descriptor,
        pieces: pieces.into(),
        left: length,
        transfer,
        size: ReadSize::new(),
        state: ReadState::Ready,
    };
    Ok(Content { length, chunks: reader.boxed() })
}

async fn small(
    disk: &Disk,
    file: File,
    pieces: Vec<Extent>,
    mut buffer: Buffer,
) -> Result<Bytes, StorageError> {
    match fill(&file, &pieces, &mut buffer, MayBlock::No) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        result => return result.map(|()| buffer.freeze()).map_err(failed),
    }
    disk.transfer(CONTEXT, move || {
        let mut left: VecDeque<Extent> = pieces.into();
        advance(&mut left, buffer.filled() as u64);
        fill(&file, &left, &mut buffer, MayBlock::Yes).map_err(failed)?;
        Ok(buffer.freeze())
    })
    .await
}

/// Fills the buffer from the extents. After a failure the buffer has the bytes that were read
/// before it.
fn fill<'a>(
    file: &File,
    pieces: impl IntoIterator<Item = &'a Extent>,
    buffer: &mut Buffer,
    may_block: MayBlock,
) -> io::Result<()> {
    for piece in pieces {
        let Extent { mut offset, mut length } = *piece;
        while length > 0 {
            let unfilled = buffer.unfilled();
            let want = unfilled.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            if want == 0 {
                return Ok(());
            }
            let read = sys::read_at(file, &mut unfilled[..want], offset, may_block)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer.advance(read);
            offset += read as u64;
            length -= read as u64;
        }
    }
    Ok(())
}

/// Removes `bytes` from the front of the extents.
fn advance(pieces: &mut VecDeque<Extent>, mut bytes: u64) {
    while let Some(piece) = pieces.front_mut() {
        if piece.length > bytes {
            piece.offset += bytes;
            piece.length -= bytes;
            return;
        }
        bytes -= piece.length;
        pieces.pop_front();
    }
}

/// Returns the first extents, with `bytes` in total.
fn first(pieces: &VecDeque<Extent>, bytes: u64) -> Vec<Extent> {
    let mut covered = 0;
    let is_needed = |piece: &&Extent| {
        let needed = covered < bytes;
        covered += piece.length;
        needed
    };
    pieces.iter().take_while(is_needed).copied().collect()
}

fn failed(error: io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => errors::unavailable(CONTEXT, "the file is truncated"),
        _ => errors::failed(CONTEXT)(error),
    }
}

struct Reader {
    disk: Arc<Disk>,
    file: Arc<File>,
    _descriptor: OwnedSemaphorePermit,
    /// The extents that are not read yet.
    pieces: VecDeque<Extent>,
    left: u64,
    transfer: Transfer,
    size: ReadSize,
    state: ReadState,
}

enum ReadState {
    Ready,
    Waiting(BoxFuture<'static, Result<Buffer, StorageError>>),
    Failed,
}

impl Reader {
    /// Reads a chunk that is in memory; `false` if there is none.
    fn read_cached(&mut self, buffer: &mut Buffer) -> io::Result<bool> {
        match fill(&self.file, &self.pieces, buffer, MayBlock::No) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(buffer.filled() > 0),
            Err(error) => Err(error),
        }
    }

    fn read_waiting(&self, mut buffer: Buffer) -> BoxFuture<'static, Result<Buffer, StorageError>> {
        let pieces = first(&self.pieces, buffer.unfilled().len() as u64);
        let (disk, file) = (Arc::clone(&self.disk), Arc::clone(&self.file));
        let read = async move {
            disk.transfer(CONTEXT, move || {
                // A larger read-ahead window; harmless if it is not supported.
                let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
                fill(&file, &pieces, &mut buffer, MayBlock::Yes).map_err(failed)?;
                Ok(buffer)
            })
            .await
        };
        read.boxed()
    }

    fn deliver(&mut self, buffer: Buffer) -> Bytes {
        let bytes = buffer.filled() as u64;
        self.left -= bytes;
        advance(&mut self.pieces, bytes);
        self.size.given(Instant::now());
        buffer.freeze()
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, StorageError>> {
        if let ReadState::Waiting(read) = &mut self.state {
            let buffer = ready!(read.as_mut().poll(cx));
            self.state = ReadState::Ready;
            return Poll::Ready(Ok(self.deliver(buffer?)));
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let want = self.size.next(Instant::now()).min(left);
        let mut buffer = self.transfer.buffer(want);
        if self.read_cached(&mut buffer).map_err(failed)? {
            return Poll::Ready(Ok(self.deliver(buffer)));
        }
        self.state = ReadState::Waiting(self.read_waiting(buffer));
        self.poll_chunk(cx)
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 || matches!(self.state, ReadState::Failed) {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_chunk(cx));
        if chunk.is_err() {
            self.state = ReadState::Failed;
        }
        Poll::Ready(Some(chunk))
    }
}
