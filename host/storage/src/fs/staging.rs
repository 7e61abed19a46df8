//! Stages the blocks of an upload.
//!
//! All blocks of an upload go into one data file. A block gets an extent at its end when it begins,
//! and a record in the journal when it is complete; only blocks with a record count. Blocks may
//! arrive in any order and at the same time.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use rustix::fs::OFlags;

use super::{
    block_extent::{self, BlockExtent},
    budget::Budget,
    disk::Disk,
    errors,
    files::UploadFiles,
    journal::{self, CommitRecord, Journal},
    layout, sys,
    uploads::{Locked, UploadCache},
    writer::{self, WriteTarget},
};
use crate::{
    BlockId, Sha256, Source, StagedBlock, StorageError, UploadName,
    digest::recorded,
    extents::{self, Extent},
};

pub(super) const CONTEXT: &str = "staging a block";

/// The state that all uploads of a tenant share.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) disk: Arc<Disk>,
    /// The id of the current boot.
    pub(super) boot: Arc<str>,
    /// Number of blocks remembered in all uploads, of all tenants.
    pub(super) blocks: Arc<AtomicUsize>,
    /// Held by the calls that use the tenant's files.
    pub(super) calls: Arc<()>,
}

/// The state of an upload.
#[derive(Debug, Default)]
pub(super) enum UploadState {
    /// The journal has not been read yet.
    #[default]
    Unread,
    /// It takes blocks.
    Open(Box<OpenUpload>),
    /// It became an object, which the journal names.
    Committed,
    /// It was discarded; holders must look it up again.
    Discarded,
}

impl UploadState {
    /// Closes the upload's files for good, before they become an object or are deleted.
    pub(super) fn close_files(&self) {
        if let Self::Open(staging) = self
            && let Some(files) = &staging.files
        {
            files.shared.close();
        }
    }
}

/// An upload that takes blocks.
#[derive(Debug)]
pub(super) struct OpenUpload {
    /// `None` before the first block.
    pub(super) files: Option<Files>,
    pub(super) blocks: HashMap<BlockId, JournaledBlock>,
    /// Number of records in the journal.
    records: usize,
    /// Offset of the next block.
    pub(super) end: u64,
    remembered: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub(super) struct Files {
    pub(super) shared: Arc<UploadFiles>,
    journal_end: u64,
}

/// A complete block.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournaledBlock {
    /// The number of its record.
    pub(super) number: u32,
    pub(super) extent: Extent,
    pub(super) digest: Option<Sha256>,
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        self.remembered.fetch_sub(self.blocks.len(), Relaxed);
    }
}

/// The state that a journal describes.
pub(super) enum Loaded {
    Open(OpenUpload),
    Committed { journal: Journal, commit: CommitRecord },
}

impl OpenUpload {
    fn empty(context: &Context) -> Self {
        let remembered = Arc::clone(&context.blocks);
        Self { files: None, blocks: HashMap::new(), records: 0, end: 0, remembered }
    }

    fn resume(
        context: &Context,
        name: &UploadName,
        data: File,
        journal_file: File,
        journal: Journal,
    ) -> io::Result<Self> {
        let length = data.metadata()?.len();
        journal_file.set_len(journal.end)?;
        let mut staging = Self::empty(context);
        for block in journal.blocks {
            // Impossible within one boot, unless the file was truncated; it must not be served.
            if block.extent.end() <= length {
                staging.remember(&block.id, block.extent, block.digest);
            }
            staging.records += 1;
        }
        staging.trim(&data)?;
        let shared = UploadFiles::new(context, name, data, journal_file);
        staging.files = Some(Files { shared, journal_end: journal.end });
        Ok(staging)
    }

    /// Frees the space of incomplete blocks of an earlier process.
    fn trim(&mut self, data: &File) -> io::Result<()> {
        let complete: Vec<Extent> = self.blocks.values().map(|block| block.extent).collect();
        self.end = complete.iter().map(|extent| extent.end()).max().unwrap_or(0);
        sys::cut(data, self.end)?;
        let gaps = extents::gaps(&complete, self.end);
        gaps.iter().for_each(|gap| sys::punch(data, gap.offset, gap.length));
        Ok(())
    }

    /// Makes the upload's files, if there are none.
    pub(super) fn create_files(&mut self, context: &Context, name: &UploadName) -> io::Result<&mut Files> {
        if self.files.is_none() {
            let (data, journal) = (layout::data_path(name), layout::journal_path(name));
            let uploads = &context.disk.dirs.uploads;
            // Left over from an earlier boot, or from a creation that failed.
            layout::delete(uploads, &journal)?;
            layout::delete(uploads, &data)?;
            let data = layout::create(uploads, &data)?;
            let journal = layout::create(uploads, &journal)?;
            let shared = UploadFiles::new(context, name, data, journal);
            let mut files = Files { shared, journal_end: 0 };
            files.append(&journal::opened(&context.boot))?;
            self.files = Some(files);
        }
        self.files.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remember(&mut self, id: &BlockId, extent: Extent, digest: Option<Sha256>) -> Option<JournaledBlock> {
        let number = u32::try_from(self.records).unwrap_or(u32::MAX);
        let replaced = self.blocks.insert(id.clone(), JournaledBlock { number, extent, digest });
        if replaced.is_none() {
            self.remembered.fetch_add(1, Relaxed);
        }
        replaced
    }

    /// Adds a complete block; returns the one that it replaces.
    fn record(
        &mut self,
        id: &BlockId,
        extent: Extent,
        digest: Option<Sha256>,
    ) -> Result<Option<JournaledBlock>, StorageError> {
        if self.records >= journal::MAX_RECORDS {
            return Err(too_many_blocks());
        }
        let files = self.files.as_mut().ok_or(StorageError::NotFound)?;
        files.append(&journal::block(id, extent, digest.as_ref())).map_err(errors::failed(CONTEXT))?;
        let replaced = self.remember(id, extent, digest);
        self.records += 1;
        Ok(replaced)
    }

    fn allocate(&mut self, length: u64) -> Result<Extent, StorageError> {
        let extent = Extent { offset: self.end, length };
        // Files cannot be larger than that.
        let end = self.end.checked_add(length).filter(|end| i64::try_from(*end).is_ok());
        self.end = end.ok_or_else(|| StorageError::Invalid("the block is too large".to_owned()))?;
        Ok(extent)
    }

    pub(super) fn owns(&self, files: &Arc<UploadFiles>) -> bool {
        self.files.as_ref().is_some_and(|own| Arc::ptr_eq(&own.shared, files))
    }
}

impl Files {
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        // After a partial write, the next record starts at the same offset.
        self.shared.journal()?.write_all_at(record, self.journal_end)?;
        self.journal_end += record.len() as u64;
        Ok(())
    }
}

/// Reads the journal of an upload. May block on the disk.
pub(super) fn load(context: &Context, name: &UploadName) -> io::Result<Loaded> {
    let open = |path: &str| missing_is_none(layout::open(&context.disk.dirs.uploads, path, OFlags::RDWR));
    let Some(file) = open(&layout::journal_path(name))? else {
        return Ok(Loaded::Open(OpenUpload::empty(context)));
    };
    let Some(mut journal) = journal::read(&file, &context.boot)? else {
        return Ok(Loaded::Open(OpenUpload::empty(context)));
    };
    if let Some(commit) = journal.committed.take() {
        return Ok(Loaded::Committed { journal, commit });
    }
    match open(&layout::data_path(name))? {
        Some(data) => Ok(Loaded::Open(OpenUpload::resume(context, name, data, file, journal)?)),
        None => Ok(Loaded::Open(OpenUpload::empty(context))),
    }
}

fn missing_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stages a block. If there is no space for it, no byte of it is read.
pub(super) async fn put_block(
    uploads: &UploadCache,
    budget: &Arc<Budget>,
    name: &UploadName,
    id: &BlockId,
    source: Source,
) -> Result<u64, StorageError> {
    let (transfer, disk) = (budget.transfer(), &uploads.context().disk);
    let recorder = source.recorder();
    let mut claim = disk.claim(source.length).await?;
    let place = match source.length {
        Some(length) => {
            let place = Arc::new(allocate(uploads, name, length).await?);
            writer::write(disk, &place, place.extent.offset, source, &transfer, &mut claim).await?;
            place
        }
        None => {
            let _descriptor = disk.body_descriptor().await?;
            let spool = spool(disk, name).await?;
            let length = writer::write(disk, &spool, 0, source, &transfer, &mut claim).await?;
            let _claim = disk.claim(Some(length)).await?;
            let place = Arc::new(allocate(uploads, name, length).await?);
            copy(disk, spool, &place).await?;
            place
        }
    };
    let digest = recorded(recorder.as_ref(), place.extent.length).await;
    complete(disk, &place, id, digest).await?;
    Ok(place.extent.length)
}

async fn allocate(
    uploads: &UploadCache,
    name: &UploadName,
    length: u64,
) -> Result<BlockExtent, StorageError> {
    let (handle, locked) = uploads.lock(name).await?;
    let mut locked = ready(uploads.context(), name, locked).await?;
    let UploadState::Open(staging) = &mut *locked else { return Err(closed()) };
    if staging.records >= journal::MAX_RECORDS {
        return Err(too_many_blocks());
    }
    let files = Arc::clone(&staging.files.as_ref().ok_or(StorageError::NotFound)?.shared);
    let extent = staging.allocate(length)?;
    Ok(BlockExtent { handle, files, extent, is_complete: AtomicBool::new(false) })
}

/// Makes sure that the upload is read and has its files, unless it is closed.
async fn ready(context: &Context, name: &UploadName, mut locked: Locked) -> Result<Locked, StorageError> {
    match &*locked {
        UploadState::Open(staging) if staging.files.is_some() => return Ok(locked),
        UploadState::Committed | UploadState::Discarded => return Err(closed()),
        UploadState::Open(_) | UploadState::Unread => {}
    }
    let (owned, name) = (context.clone(), name.clone());
    let prepare = move |_: &Arc<Disk>| prepare(&owned, &name, &mut locked).map(|()| locked);
    context.disk.create(CONTEXT, false, prepare).await
}

fn prepare(context: &Context, name: &UploadName, phase: &mut UploadState) -> io::Result<()> {
    if matches!(phase, UploadState::Unread) {
        *phase = match load(context, name)? {
            Loaded::Open(staging) => UploadState::Open(Box::new(staging)),
            Loaded::Committed { .. } => UploadState::Committed,
        };
    }
    if let UploadState::Open(staging) = phase {
        staging.create_files(context, name)?;
    }
    Ok(())
}

/// A file without a name: its space is freed when it is dropped, or when the process dies.
struct Spool(Arc<File>);

impl WriteTarget for Spool {
    fn file(&self) -> Result<Arc<File>, StorageError> {
        Ok(Arc::clone(&self.0))
    }
}

async fn spool(disk: &Arc<Disk>, name: &UploadName) -> Result<Arc<Spool>, StorageError> {
    let name = name.clone();
    let create = move |disk: &Arc<Disk>| {
        let path = layout::spool_path(&name)?;
        let file = layout::create(&disk.dirs.uploads, &path)?;
        layout::delete(&disk.dirs.uploads, &path)?;
        Ok(Arc::new(Spool(Arc::new(file))))
    };
    disk.create(CONTEXT, false, create).await
}

async fn copy(disk: &Disk, spool: Arc<Spool>, place: &Arc<BlockExtent>) -> Result<(), StorageError> {
    let place = Arc::clone(place);
    disk.transfer(CONTEXT, move || {
        let (data, Extent { offset, length }) = (place.file()?, place.extent);
        sys::copy(&spool.0, &data, offset, length).map_err(errors::failed(CONTEXT))
    })
    .await
}

/// Adds a complete block, once its record is written.
async fn complete(
    disk: &Disk,
    place: &Arc<BlockExtent>,
    id: &BlockId,
    digest: Option<Sha256>,
) -> Result<(), StorageError> {
    let locked = disk.threads.bounded(CONTEXT, Arc::clone(&place.handle).lock_owned()).await?;
    if disk.inline.writes.allowed() && place.is_open() {
        return disk.inline.writes.timed(|| record(locked, place, id, digest));
    }
    let (place, id) = (Arc::clone(place), id.clone());
    disk.transfer(CONTEXT, move || record(locked, &place, &id, digest)).await
}

fn record(
    mut locked: Locked,
    place: &Arc<BlockExtent>,
    id: &BlockId,
    digest: Option<Sha256>,
) -> Result<(), StorageError> {
    let UploadState::Open(staging) = &mut *locked else { return Err(closed()) };
    if !staging.owns(&place.files) {
        return Err(closed());
    }
    let replaced = staging.record(id, place.extent, digest)?;
    place.is_complete.store(true, Relaxed);
    if let Some(replaced) = replaced {
        block_extent::free(&place.handle, &place.files, replaced.extent);
    }
    Ok(())
}

/// Returns the complete blocks of an upload, even of a committed one.
pub(super) async fn blocks(
    uploads: &UploadCache,
    name: &UploadName,
) -> Result<Vec<StagedBlock>, StorageError> {
    let (_slot, mut locked) = uploads.lock(name).await?;
    let (context, name) = (uploads.context().clone(), name.clone());
    let disk = Arc::clone(&context.disk);
    disk.transfer(CONTEXT, move || {
        if matches!(*locked, UploadState::Unread | UploadState::Committed) {
            match load(&context, &name).map_err(errors::failed(CONTEXT))? {
                Loaded::Open(staging) => *locked = UploadState::Open(Box::new(staging)),
                Loaded::Committed { journal, .. } => {
                    *locked = UploadState::Committed;
                    return Ok(latest(journal));
                }
            }
        }
        let UploadState::Open(staging) = &*locked else { return Ok(Vec::new()) };
        let staged = |(id, block): (&BlockId, &JournaledBlock)| StagedBlock {
            id: id.clone(),
            size_bytes: block.extent.length,
        };
        Ok(staging.blocks.iter().map(staged).collect())
    })
    .await
}

/// The last record of each id counts.
fn latest(journal: Journal) -> Vec<StagedBlock> {
    let sizes: HashMap<BlockId, u64> =
        journal.blocks.into_iter().map(|block| (block.id, block.extent.length)).collect();
    sizes.into_iter().map(|(id, size_bytes)| StagedBlock { id, size_bytes }).collect()
}

pub(super) fn closed() -> StorageError {
    StorageError::Invalid("the upload takes no more blocks".to_owned())
}

fn too_many_blocks() -> StorageError {
    StorageError::Invalid("too many blocks in one upload".to_owned())
}
