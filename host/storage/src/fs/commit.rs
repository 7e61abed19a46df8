//! Makes an object of the blocks of an upload.
//!
//! The data file becomes the object; nothing is copied. The order of the steps makes a crash
//! harmless:
//!
//! 1. If the extents of the list are not the file in order, the trailer is appended to it.
//! 2. The journal records the object and its list. From here on the upload is committed.
//! 3. The data file is renamed to the object. If that does not happen, the next reader of the
//!    journal does it.
//!
//! Bodies that are still being received write to their own extents, which the object does not use.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::{
    dirs::Dirs,
    errors,
    journal::{self, CommitRecord, Journal},
    layout::{self, Kind, ObjectPath},
    segments,
    staging::{self, Context, JournaledBlock, Loaded, OpenUpload, UploadState},
    sys,
    uploads::{Locked, UploadCache},
};
use crate::{
    BlockId, Digest, MAX_BLOCKS, StorageError, Stored, UploadName,
    extents::{self, Extent},
};

const CONTEXT: &str = "committing an upload";

/// Commits an upload, or returns the object of an earlier commit.
pub(super) async fn commit(
    uploads: &UploadCache,
    name: &UploadName,
    ids: &[BlockId],
) -> Result<Stored, StorageError> {
    if ids.len() > MAX_BLOCKS {
        return Err(StorageError::Invalid(format!("more than {MAX_BLOCKS} blocks in the list")));
    }
    let (_slot, mut locked) = uploads.lock(name).await?;
    let commit = FileCommit { context: uploads.context().clone(), name: name.clone(), ids: ids.to_vec() };
    // It runs to its end even if the client disconnects.
    uploads.context().disk.transfer(CONTEXT, move || commit.run(&mut locked)).await
}

struct FileCommit {
    context: Context,
    name: UploadName,
    ids: Vec<BlockId>,
}

impl FileCommit {
    fn run(&self, phase: &mut Locked) -> Result<Stored, StorageError> {
        if matches!(**phase, UploadState::Unread | UploadState::Committed) {
            match staging::load(&self.context, &self.name).map_err(errors::failed(CONTEXT))? {
                Loaded::Open(staging) => **phase = UploadState::Open(Box::new(staging)),
                Loaded::Committed { journal, commit } => {
                    **phase = UploadState::Committed;
                    return self.again(&journal, &commit);
                }
            }
        }
        let UploadState::Open(staging) = &mut **phase else { return Err(StorageError::NotFound) };
        let plan = ObjectLayout::new(staging, &self.ids)?;
        let record = self.journal(staging, &plan)?;
        let data = staging.files.as_ref().and_then(|files| files.shared.data().ok());
        let end = staging.end;
        phase.close_files();
        **phase = UploadState::Committed;
        if !self.publish(&record.object)? {
            return Err(errors::unavailable(CONTEXT, "the data file of the upload is missing"));
        }
        if let Some(data) = data.filter(|_| !plan.is_plain) {
            extents::gaps(&plan.extents, end)
                .iter()
                .for_each(|gap| sys::punch(&data, gap.offset, gap.length));
        }
        Ok(stored(&record, plan.digest))
    }

    /// Handles a repeated commit.
    fn again(&self, journal: &Journal, commit: &CommitRecord) -> Result<Stored, StorageError> {
        // Usually the file was renamed before, and the object may even be removed again.
        self.publish(&commit.object)?;
        let is_same = commit.list.len() == self.ids.len()
            && commit.list.iter().zip(&self.ids).all(|(number, id)| {
                journal.blocks.get(*number as usize).is_some_and(|block| block.id == *id)
            });
        if is_same {
            let blocks = commit.list.iter().filter_map(|number| journal.blocks.get(*number as usize));
            Ok(stored(commit, Digest::of_blocks(blocks.map(|block| (block.extent.length, block.digest)))))
        } else {
            Err(StorageError::Invalid("the upload was committed with another block list".to_owned()))
        }
    }

    /// Steps 1 and 2.
    fn journal(&self, staging: &mut OpenUpload, plan: &ObjectLayout) -> Result<CommitRecord, StorageError> {
        let kind = if plan.is_plain { Kind::Plain } else { Kind::Segmented };
        let mut write = || {
            let end = staging.end;
            let files = staging.create_files(&self.context, &self.name)?;
            finish_data(&*files.shared.data()?, plan, end)?;
            let (object, list) = (ObjectPath::of_upload(kind, &self.name)?, plan.list.clone());
            let record = CommitRecord { object, size_bytes: plan.size_bytes, list };
            files.append(&journal::committed(&record))?;
            Ok(record)
        };
        write().map_err(errors::failed(CONTEXT))
    }

    /// Step 3. Returns whether there was a file to rename.
    fn publish(&self, object: &ObjectPath) -> Result<bool, StorageError> {
        let Dirs { objects, uploads, .. } = &self.context.disk.dirs;
        let from = layout::data_path(&self.name);
        layout::rename(uploads, &from, objects, object.as_str()).map_err(errors::failed(CONTEXT))
    }
}

fn stored(commit: &CommitRecord, digest: Option<Digest>) -> Stored {
    Stored { object: commit.object.name(), size_bytes: commit.size_bytes, digest }
}

/// The object that a list makes of the staged blocks.
struct ObjectLayout {
    list: Vec<u32>,
    extents: Vec<Extent>,
    size_bytes: u64,
    digest: Option<Digest>,
    /// The data file is the content.
    is_plain: bool,
}

impl ObjectLayout {
    fn new(staging: &OpenUpload, ids: &[BlockId]) -> Result<Self, StorageError> {
        let find = |id| staging.blocks.get(id).copied().ok_or_else(unknown_block);
        let blocks: Vec<JournaledBlock> = ids.iter().map(find).collect::<Result<_, _>>()?;
        let size_bytes = blocks.iter().try_fold(0_u64, |sum, block| sum.checked_add(block.extent.length));
        let size_bytes =
            size_bytes.ok_or_else(|| StorageError::Invalid("the object is too large".to_owned()))?;
        let extents = extents::merge(blocks.iter().map(|block| block.extent));
        // Extents that are still being written to are before the end, too, so they cannot be in a
        // plain object.
        let whole = Extent { offset: 0, length: staging.end };
        let is_plain = staging.end == 0 || extents == [whole];
        let list = blocks.iter().map(|block| block.number).collect();
        let digest = Digest::of_blocks(blocks.iter().map(|block| (block.extent.length, block.digest)));
        Ok(Self { list, extents, size_bytes, digest, is_plain })
    }
}

/// Prepares the data file for the rename.
fn finish_data(data: &File, plan: &ObjectLayout, end: u64) -> io::Result<()> {
    if data.metadata()?.len() != end {
        // Left over from an aborted block, or a commit that failed.
        data.set_len(end)?;
    }
    if !plan.is_plain {
        data.write_all_at(&segments::trailer(&plan.extents, plan.size_bytes), end)?;
    }
    // The last block may be old, but the sweep must not take the object for an old orphan.
    sys::touch(data)
}

fn unknown_block() -> StorageError {
    StorageError::Invalid("a block of the list is not staged".to_owned())
}
