//! Content that comes in chunks which say where they start, with no list of blocks at the end: version 1, and append blobs.
//!
//! A chunk is a block whose id says its place, so that the storage needs to know nothing of chunks. What one writer staged is laid
//! out when the client says that it is done: by place, from the first byte on, without a gap and without an overlap. Anything
//! else is refused, for then it is not known which bytes are right.
//!
//! Used by `v1` and `blob::append` (ids) and by `finalize` (layout and commit).

use super::{AttachError, Caller, Code, Error, attach};
use crate::ports::{Attachment, Block, Host, StorageError, Upload};
use crate::writer::Writer;

/// Which chunks are meant. An upload has one kind; blocks of another are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    /// Of version 1: in any order; a chunk of the same range replaces the earlier one.
    Ranged,
    /// Of an append blob: each starts where those before it end.
    Appended,
}

/// The chunks of an upload, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    ids: Vec<String>,
    pub(crate) size_bytes: u64,
}

impl Layout {
    /// Returns whether there is no chunk.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the chunks' ids, for the commit.
    pub(crate) fn into_ids(self) -> Vec<String> {
        self.ids
    }

    /// Returns how many chunks there are.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Why chunks make no content.
const GAP: &str = "the chunks leave a gap, or one of them is not whole";
const OVERLAP: &str = "the chunks overlap";

/// What a writer is told that holds the upload no more.
pub(crate) const DISPLACED: &str =
    "the reservation was handed out once more, and somebody else saves the entry";

/// Returns the id of the chunk of version 1 with this range. The length is part of it: a block of another length, whose body
/// did not keep to its own Content-Range, is no chunk.
pub(crate) fn ranged_id(writer: Writer, start: u64, length: u64) -> String {
    writer.block_id(format!("v1:{start:x}:{length:x}").into())
}

/// Returns the id of a chunk that is appended at `start` by the request of this id. Two requests never share one: of two
/// appends at once neither replaces the other, and what they leave is an overlap.
pub(crate) fn appended_id(writer: Writer, start: u64, request_id: &str) -> String {
    writer.block_id(format!("append:{start:x}:{request_id}").into())
}

/// Lays out what this writer staged; the reason where it makes no content.
///
/// # Errors
/// When the storage does not say what is staged.
pub(crate) async fn layout<H: Host>(
    host: &H,
    upload: &Upload,
    writer: Writer,
    kind: ChunkKind,
) -> Result<Result<Layout, &'static str>, StorageError> {
    Ok(lay_out(&host.blocks(upload.name.clone()).await?, writer, kind))
}

/// Lays out what was appended by the writer that holds the upload now, which a finalize does not name: if it was handed out
/// again, and that writer has sent anything, its own; else the first one's.
///
/// # Errors
/// When the storage does not say what is staged.
pub(crate) async fn layout_appended<H: Host>(
    host: &H,
    upload: &Upload,
) -> Result<Result<Layout, &'static str>, StorageError> {
    let blocks = host.blocks(upload.name.clone()).await?;
    let of = |writer| lay_out(&blocks, writer, ChunkKind::Appended);
    match of(Writer::again(upload)) {
        Ok(layout) if layout.is_empty() => Ok(of(Writer::first(upload))),
        layout => Ok(layout),
    }
}

fn lay_out(blocks: &[Block], writer: Writer, kind: ChunkKind) -> Result<Layout, &'static str> {
    let mut chunks: Vec<(u64, &Block)> =
        blocks.iter().filter_map(|block| Some((start_of(block, writer, kind)?, block))).collect();
    chunks.sort_unstable_by_key(|(start, _)| *start);
    let mut layout = Layout { ids: Vec::with_capacity(chunks.len()), size_bytes: 0 };
    for (start, block) in chunks {
        if start > layout.size_bytes {
            return Err(GAP);
        }
        if start < layout.size_bytes {
            return Err(OVERLAP);
        }
        layout.size_bytes = start.checked_add(block.size_bytes).ok_or(OVERLAP)?;
        layout.ids.push(block.id.clone());
    }
    Ok(layout)
}

/// Returns where a block's content starts if it is a chunk of this writer and kind, has any bytes, and is whole.
fn start_of(block: &Block, writer: Writer, kind: ChunkKind) -> Option<u64> {
    let (prefix, is_ranged) = match kind {
        ChunkKind::Ranged => ("v1:", true),
        ChunkKind::Appended => ("append:", false),
    };
    let (start, rest) = writer.own_id(&block.id)?.strip_prefix(prefix)?.split_once(':')?;
    let is_whole = !is_ranged || u64::from_str_radix(rest, 16) == Ok(block.size_bytes);
    (is_whole && block.size_bytes > 0).then(|| u64::from_str_radix(start, 16).ok())?
}

/// Makes the chunks the content of the upload. A repeat does the same again. `None` where the upload ended meanwhile.
///
/// # Errors
/// Those of the storage, and `invalid_argument` where the content is larger than an entry may be.
pub(crate) async fn commit<H: Host>(
    caller: &Caller<'_, H>,
    upload: &Upload,
    layout: Layout,
) -> Result<Option<Attachment>, Error> {
    let stored = match caller.host.commit(upload.name.clone(), layout.ids).await {
        Ok(stored) => stored,
        // Its own repeat may have finished meanwhile: then what was staged is gone, with the upload.
        Err(StorageError::Invalid(_) | StorageError::NotFound)
            if caller.host.get_upload_by_id(upload.id).await?.is_none() =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    match attach(caller.host, upload.clone(), stored.clone(), caller.request.received_ms).await {
        Ok(()) => Ok(Some(stored)),
        Err(AttachError::UploadGone) => Ok(None),
        Err(AttachError::Displaced) => Err(Error::new(Code::AlreadyExists, DISPLACED)),
        Err(AttachError::TooLarge) => {
            Err(Error::new(Code::InvalidArgument, "the entry is larger than this server allows"))
        }
        Err(AttachError::Index(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
