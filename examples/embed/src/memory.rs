//! The platform's own storage: a map in memory.
//!
//! Its objects are gone after a restart, while the index still has the entries. Larder's policy
//! takes such entries for misses, and removes them.

use std::{collections::HashMap, ops::Range, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use larder::storage::{
    BlockId, Content, FlushError, Listed, ObjectName, Page, Source, StagedBlock, Storage, StorageError,
    Stored, UploadName,
};
use parking_lot::Mutex;

/// Bytes in the pieces in which they came.
type Pieces = Arc<Vec<Bytes>>;

/// Keeps everything in memory.
#[derive(Default)]
pub(crate) struct MemoryStorage(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    objects: HashMap<ObjectName, (u64, Pieces)>,
    uploads: HashMap<UploadName, Upload>,
    identity: Option<String>,
}

#[derive(Default)]
struct Upload {
    modified_ms: u64,
    blocks: HashMap<BlockId, Pieces>,
    committed: Option<(Vec<BlockId>, Stored)>,
}

impl Kept {
    fn add(&mut self, pieces: Vec<Bytes>) -> Result<Stored, StorageError> {
        let object = ObjectName::parse(uuid::Uuid::new_v4().to_string())?;
        let size_bytes = length(&pieces);
        self.objects.insert(object.clone(), (now_ms(), Arc::new(pieces)));
        Ok(Stored { object, size_bytes, digest: None })
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError> {
        let kept = self.0.lock();
        kept.objects.get(object).map(|(_, pieces)| length(pieces)).ok_or(StorageError::NotFound)
    }

    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        let pieces = self.0.lock().objects.get(object).map(|(_, pieces)| pieces.clone());
        let pieces = pieces.filter(|pieces| length(pieces) == size_bytes).ok_or(StorageError::NotFound)?;
        let range = range.unwrap_or(0..size_bytes);
        let length = range.end - range.start;
        let chunks = stream::iter(within(&pieces, &range)).map(Ok).boxed();
        Ok(Content { length, chunks })
    }

    async fn put(&self, _: &UploadName, source: Source) -> Result<Stored, StorageError> {
        let pieces = read(source).await?;
        self.0.lock().add(pieces)
    }

    async fn put_block(
        &self,
        upload: &UploadName,
        id: &BlockId,
        source: Source,
    ) -> Result<u64, StorageError> {
        let pieces = read(source).await?;
        let mut kept = self.0.lock();
        let upload = kept.uploads.entry(upload.clone()).or_default();
        if upload.committed.is_some() {
            return Err(StorageError::Invalid("the upload is committed".to_owned()));
        }
        upload.modified_ms = now_ms();
        let size_bytes = length(&pieces);
        upload.blocks.insert(id.clone(), Arc::new(pieces));
        Ok(size_bytes)
    }

    async fn commit(&self, name: &UploadName, ids: &[BlockId]) -> Result<Stored, StorageError> {
        let mut kept = self.0.lock();
        let upload = kept.uploads.entry(name.clone()).or_default();
        match &upload.committed {
            Some((with, stored)) if with == ids => return Ok(stored.clone()),
            Some(_) => return Err(StorageError::Invalid("it is committed with other blocks".to_owned())),
            None => {}
        }
        let missing = || StorageError::Invalid("a block is not staged".to_owned());
        let blocks = ids.iter().map(|id| upload.blocks.get(id).ok_or_else(missing));
        let blocks: Vec<&Pieces> = blocks.collect::<Result<_, _>>()?;
        let whole = blocks.into_iter().flat_map(|pieces| pieces.iter().cloned()).collect();
        let stored = kept.add(whole)?;
        let upload = kept.uploads.entry(name.clone()).or_default();
        upload.committed = Some((ids.to_vec(), stored.clone()));
        Ok(stored)
    }

    async fn blocks(&self, upload: &UploadName) -> Result<Vec<StagedBlock>, StorageError> {
        let kept = self.0.lock();
        let blocks = kept.uploads.get(upload).into_iter().flat_map(|upload| &upload.blocks);
        Ok(blocks.map(|(id, pieces)| StagedBlock { id: id.clone(), size_bytes: length(pieces) }).collect())
    }

    async fn discard(&self, upload: &UploadName) -> Result<(), StorageError> {
        self.0.lock().uploads.remove(upload);
        Ok(())
    }

    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError> {
        self.0.lock().objects.remove(object);
        Ok(())
    }

    async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>> {
        objects.iter().map(|_| Ok(())).collect()
    }

    fn is_durable_at_once(&self) -> bool {
        true
    }

    async fn identity(&self) -> Result<Option<String>, StorageError> {
        Ok(self.0.lock().identity.clone())
    }

    async fn set_identity(&self, identity: &str, replace: bool) -> Result<String, StorageError> {
        let mut kept = self.0.lock();
        if replace {
            kept.identity = None;
        }
        Ok(kept.identity.get_or_insert_with(|| identity.to_owned()).clone())
    }

    async fn list_objects(&self, _: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
        let kept = self.0.lock();
        let items = kept.objects.iter();
        let items =
            items.map(|(name, (modified_ms, pieces))| listed(name, *modified_ms, length(pieces))).collect();
        Ok(Page { items, next: None })
    }

    async fn list_uploads(&self, _: Option<&str>) -> Result<Page<UploadName>, StorageError> {
        let kept = self.0.lock();
        let items = kept.uploads.iter();
        let staged = |upload: &Upload| upload.blocks.values().map(|pieces| length(pieces)).sum();
        let items = items.map(|(name, upload)| listed(name, upload.modified_ms, staged(upload))).collect();
        Ok(Page { items, next: None })
    }
}

/// Reads a body, and checks its announced length.
async fn read(source: Source) -> Result<Vec<Bytes>, StorageError> {
    let pieces: Vec<Bytes> = source.chunks.try_collect().await?;
    if source.length.is_some_and(|announced| announced != length(&pieces)) {
        return Err(StorageError::Invalid("the body has another length than announced".to_owned()));
    }
    Ok(pieces)
}

/// Returns the pieces of a range of these pieces.
fn within(pieces: &[Bytes], range: &Range<u64>) -> Vec<Bytes> {
    let mut start = 0;
    let mut found = Vec::new();
    for piece in pieces {
        let end = start + piece.len() as u64;
        let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
        if from < to {
            // Both are offsets in memory.
            found.push(piece.slice((from - start) as usize..(to - start) as usize));
        }
        start = end;
    }
    found
}

fn length(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

fn listed<Name: Clone>(name: &Name, modified_ms: u64, size_bytes: u64) -> Listed<Name> {
    Listed { name: name.clone(), modified_ms, size_bytes }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
