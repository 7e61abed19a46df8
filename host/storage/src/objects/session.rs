//! The blocks of one upload that one process has staged.
//!
//! Several processes behind a load balancer may receive blocks of the same upload. Each has its own
//! *session* in the upload, with its own multipart uploads, and records the staged blocks in the
//! bucket. A restarted process begins a new session. The commit makes one object of all sessions.
//!
//! Large blocks are sent as parts while they arrive. Small ones are collected in memory, in the
//! *tail*, until they fill a part. Then the tail is *sealed* and sent, while the next one fills. A
//! tail that is idle, or whose memory is needed, is *spilled*: stored as a small object of the
//! upload, which any process can read.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::OnceCell, time::Instant};

use super::{
    Shared, journal,
    keys::{self, Base},
    part_numbers::{self, PartNumbers},
    staging::{Block, BlockLocation, Buffered, Spill, Staging, StoredPart},
    uploads,
};
use crate::{BlockId, StorageError, UploadName, bucket::Bucket};

/// A multipart upload that was begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Multipart {
    pub(super) base: Base,
    /// The service's id.
    pub(super) id: String,
}

/// A multipart upload of a session, begun when its first part is sent.
#[derive(Debug)]
pub(super) struct MultipartSlot {
    base: Base,
    number: u32,
    begun: OnceCell<Arc<Multipart>>,
    numbers: Mutex<PartNumbers>,
}

/// Reserved part numbers.
#[derive(Debug)]
pub(super) struct PartClaim {
    pub(super) slot: Arc<MultipartSlot>,
    pub(super) numbers: Vec<u32>,
}

/// A full tail, sent as one part.
#[derive(Debug)]
pub(super) struct Sealed {
    claim: PartClaim,
    pub(super) blocks: Vec<Buffered>,
    sent: OnceCell<()>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) upload: UploadName,
    pub(super) name: String,
    slots: Mutex<Vec<Arc<MultipartSlot>>>,
    pub(super) staging: Mutex<Staging>,
    /// Held while the tail is sent or spilled.
    pub(super) settling: tokio::sync::Mutex<()>,
    bodies: AtomicUsize,
    is_discarded: AtomicBool,
}

/// Counts a body that is being received.
pub(super) struct InFlight(Arc<Session>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Relaxed);
        self.0.staging.lock().touched = Instant::now();
    }
}

impl Session {
    /// `last_time`: the latest timestamp in the upload so far.
    pub(super) fn new(upload: UploadName, name: String, last_time: u64) -> Self {
        Self {
            upload,
            name,
            slots: Mutex::default(),
            staging: Mutex::new(Staging::new(last_time)),
            settling: tokio::sync::Mutex::default(),
            bodies: AtomicUsize::new(0),
            is_discarded: AtomicBool::new(false),
        }
    }

    /// Counts a body that is being received, until the guard is dropped.
    pub(super) fn begin_body(session: &Arc<Self>) -> InFlight {
        session.bodies.fetch_add(1, Relaxed);
        InFlight(Arc::clone(session))
    }

    /// Marks the session as discarded: records written from now on are deleted again. Returns when
    /// no tail is being written.
    pub(super) async fn discard(&self) {
        self.is_discarded.store(true, Relaxed);
        drop(self.settling.lock().await);
    }

    /// Ends a session whose upload another process committed or discarded: frees its memory, and
    /// deletes records written from now on.
    pub(super) fn end(&self) {
        self.is_discarded.store(true, Relaxed);
        let mut staging = self.staging.lock();
        staging.tail.clear();
        staging.tail_bytes = 0;
        staging.sealed.clear();
    }

    pub(super) fn is_discarded(&self) -> bool {
        self.is_discarded.load(Relaxed)
    }

    /// Deletes `keys`, which were just written, if the upload has been discarded.
    async fn undo_if_discarded(&self, shared: &Shared, keys: &[String]) -> Result<(), StorageError> {
        if !self.is_discarded() {
            return Ok(());
        }
        shared.bucket.remove(keys).await?;
        Err(uploads::closed())
    }

    /// Time since the last activity. A tenth of it while bodies are being received: then more
    /// blocks are likely, or the client is gone.
    pub(super) fn idle(&self) -> Duration {
        let idle = self.staging.lock().touched.elapsed();
        if self.bodies.load(Relaxed) > 0 { idle / 10 } else { idle }
    }

    /// Returns a timestamp, in milliseconds since 1970, later than all others of this session.
    pub(super) fn next_timestamp(&self, shared: &Shared) -> u64 {
        self.staging.lock().next_timestamp(shared.clock.now_ms())
    }

    /// Reserves numbers for `count` parts; those kept for the block, if its id contains its index.
    pub(super) fn claim(
        &self,
        shared: &Shared,
        id: Option<&BlockId>,
        count: u32,
    ) -> Result<PartClaim, StorageError> {
        let mut slots = self.slots.lock();
        if let Some(index) =
            id.and_then(part_numbers::index_of).filter(|_| count <= part_numbers::NUMBERS_PER_BLOCK)
        {
            let each = part_numbers::blocks_per_multipart(shared.sizes.max_number);
            let slot = self.slot(shared, &mut slots, (index / each) as usize)?;
            if let Some(numbers) = slot.numbers.lock().take_reserved(index % each, count) {
                return Ok(PartClaim { slot: Arc::clone(&slot), numbers });
            }
        }
        let last = slots.len().saturating_sub(1);
        for number in [last, last + 1] {
            let slot = self.slot(shared, &mut slots, number)?;
            if let Some(numbers) = slot.numbers.lock().take_next(count) {
                return Ok(PartClaim { slot: Arc::clone(&slot), numbers });
            }
        }
        Err(StorageError::Invalid("too many parts in one block".to_owned()))
    }

    fn slot(
        &self,
        shared: &Shared,
        slots: &mut Vec<Arc<MultipartSlot>>,
        number: usize,
    ) -> Result<Arc<MultipartSlot>, StorageError> {
        while slots.len() <= number {
            slots.push(Arc::new(MultipartSlot {
                base: Base::random(&self.upload)?,
                number: u32::try_from(slots.len()).unwrap_or(u32::MAX),
                begun: OnceCell::new(),
                numbers: Mutex::new(PartNumbers::new(shared.sizes.max_number)),
            }));
        }
        Ok(Arc::clone(&slots[number]))
    }

    /// Returns the multipart upload of a slot. The first call begins and records it.
    pub(super) async fn begin(
        &self,
        shared: &Shared,
        slot: &MultipartSlot,
    ) -> Result<Arc<Multipart>, StorageError> {
        let begin = || async {
            let id = shared.bucket.begin(&slot.base.data()).await?;
            let multipart = Multipart { base: slot.base.clone(), id };
            let key = keys::multipart_key(&self.upload, &self.name, slot.number);
            shared.bucket.put(&key, journal::multipart(&multipart)?).await?;
            Ok(Arc::new(multipart))
        };
        slot.begun.get_or_try_init(begin).await.cloned()
    }

    fn slot_number(&self, multipart: &Multipart) -> Option<u32> {
        self.slots.lock().iter().find(|slot| slot.base == multipart.base).map(|slot| slot.number)
    }

    /// Returns whether a multipart upload belongs to this session.
    pub(super) fn owns(&self, multipart: &Multipart) -> bool {
        self.slot_number(multipart).is_some()
    }

    /// Sends a sealed tail once. Can be repeated after a failure.
    pub(super) async fn send(&self, shared: &Shared, sealed: &Sealed) -> Result<(), StorageError> {
        let send = || async {
            let multipart = self.begin(shared, &sealed.claim.slot).await?;
            let number = *sealed.claim.numbers.first().ok_or(StorageError::NotFound)?;
            let pieces = sealed.blocks.iter().map(|block| block.bytes.clone()).collect();
            let length = sealed.blocks.iter().map(|block| block.bytes.len() as u64).sum();
            let part = shared.bucket.put_part(&multipart.base.data(), &multipart.id, number, pieces).await?;
            let part = StoredPart { multipart, number, tag: part.tag, length };
            self.record(shared, &[part], &journal::offsets(&sealed.blocks)).await.map(drop)
        };
        sealed.sent.get_or_try_init(send).await?;
        self.staging.lock().sealed.retain(|other| !std::ptr::eq(Arc::as_ptr(other), sealed));
        Ok(())
    }

    /// Records blocks whose bytes are in parts, in the bucket and in memory. Returns the key of the
    /// record.
    pub(super) async fn record(
        &self,
        shared: &Shared,
        parts: &[StoredPart],
        blocks: &[journal::BlockEntry],
    ) -> Result<String, StorageError> {
        let key = keys::record_key(&self.upload, &self.name, self.next_timestamp(shared));
        let number = |part: &StoredPart| self.slot_number(&part.multipart).unwrap_or(u32::MAX);
        let record = journal::record_of_parts(parts, number, blocks)?;
        shared.bucket.put(&key, record).await?;
        self.undo_if_discarded(shared, std::slice::from_ref(&key)).await?;
        let parts: Arc<[StoredPart]> = parts.into();
        let mut staging = self.staging.lock();
        for block in blocks {
            staging.moved(&block.id, block.time, BlockLocation::Parts(Arc::clone(&parts), block.offset));
        }
        Ok(key)
    }

    /// Returns the sealed tails that are not sent yet.
    pub(super) fn sealed(&self) -> Vec<Arc<Sealed>> {
        self.staging.lock().sealed.clone()
    }

    /// Adds a small block to the tail. Returns the sealed tail if that filled it.
    pub(super) fn append(
        &self,
        shared: &Shared,
        block: Buffered,
    ) -> Result<Option<Arc<Sealed>>, StorageError> {
        let (part, min) = (shared.sizes.part, shared.sizes.min_part);
        let length = block.bytes.len() as u64;
        let mut staging = self.staging.lock();
        staging.count_block()?;
        let mut full = None;
        if staging.tail_bytes >= min && staging.tail_bytes + length > part {
            full = Some(self.seal(shared, &mut staging)?);
        }
        staging.remember(block.id.clone(), block.staged());
        staging.tail_bytes += length;
        staging.tail.push(block);
        if full.is_none() && staging.tail_bytes >= part {
            full = Some(self.seal(shared, &mut staging)?);
        }
        Ok(full)
    }

    /// Adds a block whose bytes are in parts.
    pub(super) fn insert(&self, id: &BlockId, block: Block) -> Result<(), StorageError> {
        let mut staging = self.staging.lock();
        staging.count_block()?;
        staging.remember(id.clone(), block);
        Ok(())
    }

    /// Seals the tail, if it is large enough for a part.
    pub(super) fn seal_if_large_enough(&self, shared: &Shared) -> Result<Option<Arc<Sealed>>, StorageError> {
        let mut staging = self.staging.lock();
        if staging.tail_bytes < shared.sizes.min_part {
            return Ok(None);
        }
        self.seal(shared, &mut staging).map(Some)
    }

    fn seal(&self, shared: &Shared, staging: &mut Staging) -> Result<Arc<Sealed>, StorageError> {
        let claim = self.claim(shared, None, 1)?;
        let blocks = mem::take(&mut staging.tail);
        staging.tail_bytes = 0;
        let sealed = Arc::new(Sealed { claim, blocks, sent: OnceCell::new() });
        staging.sealed.push(Arc::clone(&sealed));
        Ok(sealed)
    }

    /// Spills the blocks of the tail that are not spilled yet.
    pub(super) async fn spill(&self, shared: &Shared) -> Result<(), StorageError> {
        let time = self.next_timestamp(shared);
        let (mut pieces, mut entries) = (Vec::new(), Vec::new());
        let mut length = 0;
        for block in self.staging.lock().tail.iter().filter(|block| block.spilled.is_none()) {
            entries.push(journal::BlockEntry::at(block, length));
            pieces.push(block.bytes.clone());
            length += block.bytes.len() as u64;
        }
        if entries.is_empty() {
            return Ok(());
        }
        let spill = Arc::new(Spill { key: keys::spill_key(&self.upload, &self.name, time), length });
        shared.bucket.put(&spill.key, pieces).await?;
        let record = keys::record_key(&self.upload, &self.name, time);
        shared.bucket.put(&record, journal::record_of_spill(&spill, &entries)?).await?;
        self.undo_if_discarded(shared, &[spill.key.clone(), record]).await?;
        let offsets: HashMap<u64, u64> = entries.iter().map(|entry| (entry.time, entry.offset)).collect();
        for block in &mut self.staging.lock().tail {
            if let Some(offset) = offsets.get(&block.time) {
                block.spilled = Some((Arc::clone(&spill), *offset));
            }
        }
        Ok(())
    }

    /// Frees the memory of spilled blocks.
    pub(super) fn release_spilled(&self) {
        let mut staging = self.staging.lock();
        let tail = mem::take(&mut staging.tail);
        let (spilled, kept): (Vec<_>, Vec<_>) = tail.into_iter().partition(|block| block.spilled.is_some());
        staging.tail_bytes = kept.iter().map(|block| block.bytes.len() as u64).sum();
        staging.tail = kept;
        for block in spilled {
            if let Some((spill, offset)) = block.spilled {
                staging.moved(&block.id, block.time, BlockLocation::Spilled(spill, offset));
            }
        }
    }
}

impl PartClaim {
    /// Releases the numbers: no part was sent under them, or all have arrived and are not used.
    pub(super) fn release(&self) {
        self.slot.numbers.lock().release(&self.numbers);
    }
}
