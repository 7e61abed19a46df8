//! Content in positioned chunks, without a final list of blocks: protocol version 1, and append
//! blobs.
//!
//! A chunk is a block whose id contains its position, so that the storage need not know about
//! chunks. When the client commits, the chunks of its writer are laid out by position: from byte 0,
//! without gaps and without overlaps. Anything else is rejected, because it is unknown which bytes
//! are right.
//!
//! Used by `v1` and `blob::append` (ids) and by `finalize` (layout and commit).

use super::{AttachError, Caller, Error, attach};
use crate::ports::{Attachment, Block, Host, StorageError, Upload};
use crate::writer::Writer;

/// The kind of an upload's chunks. Blocks of another kind are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    /// Protocol version 1: in any order; a chunk with the same range replaces the earlier one.
    Ranged,
    /// Append blobs: each chunk starts at the end of the one before.
    Appended,
}

/// The chunks of an upload, in the order of their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    ids: Vec<String>,
    pub(crate) size_bytes: u64,
}

impl Layout {
    /// Returns whether there are no chunks.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the block ids for the commit.
    pub(crate) fn into_ids(self) -> Vec<String> {
        self.ids
    }

    /// Returns the number of chunks.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Why chunks are rejected.
const GAP: &str = "the chunks leave a gap, or one of them is incomplete";
const OVERLAP: &str = "the chunks overlap";

/// The message for a writer that no longer holds the upload.
pub(crate) const DISPLACED: &str = "the reservation was renewed by another client, which saves the entry now";

/// Returns the id of a ranged chunk. The length is part of it: a block of another length, whose
/// body did not match its own Content-Range, is not a chunk.
pub(crate) fn ranged_id(writer: Writer, start: u64, length: u64) -> String {
    writer.block_id(format!("v1:{start:x}:{length:x}").into())
}

/// Returns the id of a chunk that a request appends at `start`. It contains the request's id, so
/// that concurrent appends never replace each other: they overlap, and are rejected.
pub(crate) fn appended_id(writer: Writer, start: u64, request_id: &str) -> String {
    writer.block_id(format!("append:{start:x}:{request_id}").into())
}

/// Lays out this writer's chunks. The inner error is the reason why they are rejected.
///
/// # Errors
/// When the storage cannot list the blocks.
pub(crate) async fn layout<H: Host>(
    host: &H,
    upload: &Upload,
    writer: Writer,
    kind: ChunkKind,
) -> Result<Result<Layout, &'static str>, StorageError> {
    Ok(lay_out(&host.blocks(upload.name.clone()).await?, writer, kind))
}

/// Lays out the appended chunks of the current writer, which a finalize does not name: those of the
/// renewal, if there are any, otherwise those of the reservation.
///
/// # Errors
/// When the storage cannot list the blocks.
pub(crate) async fn layout_appended<H: Host>(
    host: &H,
    upload: &Upload,
) -> Result<Result<Layout, &'static str>, StorageError> {
    let blocks = host.blocks(upload.name.clone()).await?;
    let layout_of = |writer| lay_out(&blocks, writer, ChunkKind::Appended);
    match layout_of(Writer::of_renewal(upload)) {
        Ok(layout) if layout.is_empty() => Ok(layout_of(Writer::of_reservation(upload))),
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

/// Returns the position of a block, if it is a complete, non-empty chunk of this writer and kind.
fn start_of(block: &Block, writer: Writer, kind: ChunkKind) -> Option<u64> {
    let (prefix, is_ranged) = match kind {
        ChunkKind::Ranged => ("v1:", true),
        ChunkKind::Appended => ("append:", false),
    };
    let (start, rest) = writer.own_id(&block.id)?.strip_prefix(prefix)?.split_once(':')?;
    let is_complete = !is_ranged || u64::from_str_radix(rest, 16) == Ok(block.size_bytes);
    (is_complete && block.size_bytes > 0).then(|| u64::from_str_radix(start, 16).ok())?
}

/// Commits the chunks, and attaches the object to the upload. May be repeated. Returns `None` if
/// the upload is gone.
///
/// # Errors
/// Those of storage and index; `invalid_argument` if the content is larger than an entry may be,
/// `already_exists` if the upload has been renewed for another writer.
pub(crate) async fn commit<H: Host>(
    caller: &Caller<'_, H>,
    upload: &Upload,
    layout: Layout,
) -> Result<Option<Attachment>, Error> {
    let stored = match caller.host.commit(upload.name.clone(), layout.ids).await {
        Ok(stored) => stored,
        // A concurrent repeat may have finalized the upload, which deletes its blocks.
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
        Err(error) => Err(error.into_error()),
    }
}

#[cfg(test)]
mod tests;
