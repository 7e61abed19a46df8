//! Makes an object of the blocks of an upload.
//!
//! The data file becomes the object; nothing is copied. The order of the steps is what makes a crash harmless:
//!
//! 1. behind the data: the trailer, where the blocks do not already lie as the list wants them;
//! 2. in the journal: which object it becomes, and from which list. From here on it is committed;
//! 3. rename the data file to the object. If that did not happen, who reads the journal next makes up for it.
//!
//! Bodies that are still coming in write to the places that they have, which the object does not refer to.

use std::{fs::File, io, os::unix::fs::FileExt};

use rustix::io::Errno;

use super::{
    errors,
    journal::{self, CommitRecord, Journal},
    layout::{self, Dirs, Kind, ObjectPath},
    segments,
    staging::{self, Context, Loaded, Phase, Staged, Staging},
    sys,
    uploads::{Locked, Uploads},
};
use crate::{
    BlockId, MAX_BLOCKS, StorageError, Stored, UploadName,
    extents::{self, Extent},
};

const CONTEXT: &str = "commit an upload";

/// Commits an upload, or finds out what it became.
pub(super) async fn commit(
    uploads: &Uploads,
    name: &UploadName,
    ids: &[BlockId],
) -> Result<Stored, StorageError> {
    if ids.len() > MAX_BLOCKS {
        return Err(StorageError::Invalid(format!("more than {MAX_BLOCKS} blocks in the list")));
    }
    let (_slot, mut locked) = uploads.lock(name).await?;
    let commit = Commit { context: uploads.context().clone(), name: name.clone(), ids: ids.to_vec() };
    // Once begun it ends, whether or not the client still waits.
    uploads.context().disk.transfer(CONTEXT, move || commit.run(&mut locked)).await
}

struct Commit {
    context: Context,
    name: UploadName,
    ids: Vec<BlockId>,
}

impl Commit {
    fn run(&self, phase: &mut Locked) -> Result<Stored, StorageError> {
        if matches!(**phase, Phase::Unread | Phase::Committed) {
            match staging::load(&self.context, &self.name).map_err(errors::failed(CONTEXT))? {
                Loaded::Open(staging) => **phase = Phase::Open(Box::new(staging)),
                Loaded::Committed { journal, commit } => {
                    **phase = Phase::Committed;
                    return self.again(&journal, &commit);
                }
            }
        }
        let Phase::Open(staging) = &mut **phase else { return Err(StorageError::NotFound) };
        let plan = Plan::new(staging, &self.ids)?;
        let record = self.journal(staging, &plan)?;
        let data = staging.files.as_ref().and_then(|files| files.shared.data().ok());
        let end = staging.end;
        phase.close_files();
        **phase = Phase::Committed;
        if !self.publish(&record.object)? {
            return Err(errors::unavailable(CONTEXT, "the file of the blocks is gone"));
        }
        if let Some(data) = data.filter(|_| !plan.is_plain) {
            extents::gaps(&plan.extents, end)
                .iter()
                .for_each(|gap| sys::punch(&data, gap.offset, gap.length));
        }
        Ok(stored(&record))
    }

    /// Answers a repeat.
    fn again(&self, journal: &Journal, commit: &CommitRecord) -> Result<Stored, StorageError> {
        // Usually it was renamed before, and may even be removed again.
        self.publish(&commit.object)?;
        let is_same = commit.list.len() == self.ids.len()
            && commit.list.iter().zip(&self.ids).all(|(number, id)| {
                journal.blocks.get(*number as usize).is_some_and(|block| block.id == *id)
            });
        if is_same {
            Ok(stored(commit))
        } else {
            Err(StorageError::Invalid("the upload was committed with another list".to_owned()))
        }
    }

    /// Steps 1 and 2.
    fn journal(&self, staging: &mut Staging, plan: &Plan) -> Result<CommitRecord, StorageError> {
        let kind = if plan.is_plain { Kind::Plain } else { Kind::Segmented };
        let mut write = || {
            let end = staging.end;
            let files = staging.create_files(&self.context, &self.name)?;
            finish_data(&*files.shared.data()?, plan, end)?;
            let (object, list) = (ObjectPath::random(kind)?, plan.list.clone());
            let record = CommitRecord { object, size_bytes: plan.size_bytes, list };
            files.append(&journal::committed(&record))?;
            Ok(record)
        };
        write().map_err(errors::failed(CONTEXT))
    }

    /// Step 3. Returns whether there still was something to rename.
    fn publish(&self, object: &ObjectPath) -> Result<bool, StorageError> {
        let Dirs { objects, uploads, .. } = &self.context.disk.dirs;
        let from = layout::data_path(&self.name);
        match rustix::fs::renameat(&uploads.file, &from, &objects.file, object.as_str()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(errors::failed(CONTEXT)(objects.at(object.as_str(), error))),
        }
    }
}

fn stored(commit: &CommitRecord) -> Stored {
    Stored { object: commit.object.name(), size_bytes: commit.size_bytes }
}

/// What a list means for the blocks that are there.
struct Plan {
    list: Vec<u32>,
    extents: Vec<Extent>,
    size_bytes: u64,
    /// The data file is the content, as it is.
    is_plain: bool,
}

impl Plan {
    fn new(staging: &Staging, ids: &[BlockId]) -> Result<Self, StorageError> {
        let find = |id| staging.blocks.get(id).copied().ok_or_else(unknown_block);
        let blocks: Vec<Staged> = ids.iter().map(find).collect::<Result<_, _>>()?;
        let size_bytes = blocks.iter().try_fold(0_u64, |sum, block| sum.checked_add(block.extent.length));
        let size_bytes =
            size_bytes.ok_or_else(|| StorageError::Invalid("the object is too large".to_owned()))?;
        let extents = extents::merge(blocks.iter().map(|block| block.extent));
        // Places that are still being written to lie before the end as well, so they cannot be in a plain object.
        let whole = Extent { offset: 0, length: staging.end };
        let is_plain = staging.end == 0 || extents == [whole];
        let list = blocks.iter().map(|block| block.number).collect();
        Ok(Self { list, extents, size_bytes, is_plain })
    }
}

/// Makes the data file what the object has to be.
fn finish_data(data: &File, plan: &Plan, end: u64) -> io::Result<()> {
    if data.metadata()?.len() != end {
        // Left from a block that broke off, or a commit that failed.
        data.set_len(end)?;
    }
    if !plan.is_plain {
        data.write_all_at(&segments::trailer(&plan.extents, plan.size_bytes), end)?;
    }
    // The sweep must not take an object for an old orphan because its last block came long ago.
    sys::touch(data)
}

fn unknown_block() -> StorageError {
    StorageError::Invalid("a block in the list was not sent".to_owned())
}
