//! Stages blocks: small ones in the tail, others as parts of a multipart upload.

use std::{collections::VecDeque, sync::Arc};

use larder_common::causes::chain;

use super::{
    Shared,
    body::{BodyReader, PartBody, PartSplitter},
    journal,
    part_numbers::NUMBERS_PER_BLOCK,
    runtime::Task,
    session::{InFlight, PartClaim, Sealed, Session},
    staging::{Block, BlockLocation, Buffered, StoredPart},
    uploads::{self, Upload},
};
use crate::{
    BlockId, Content, Sha256, Source, StorageError, UploadName,
    bucket::Bucket,
    digest::{DigestRecorder, recorded},
};

/// Parts of one body sent at the same time, while the next is received.
const MAX_SENDS: usize = 2;

/// Sealed tails of one upload that may be in flight; the next block waits for the oldest.
const MAX_SEALED: usize = 2;

/// A block that is being received.
struct BlockUpload<'a> {
    shared: &'a Arc<Shared>,
    upload: Arc<Upload>,
    session: Arc<Session>,
    id: &'a BlockId,
    recorder: Option<DigestRecorder>,
    _in_flight: InFlight,
}

/// Stages a block.
pub(super) async fn put_block(
    shared: &Arc<Shared>,
    name: &UploadName,
    id: &BlockId,
    source: Source,
) -> Result<u64, StorageError> {
    let (upload, session) = uploads::open(shared, name).await?;
    let in_flight = Session::begin_body(&session);
    let block =
        BlockUpload { shared, upload, session, id, recorder: source.recorder(), _in_flight: in_flight };
    if let Some(length) = source.length.filter(|length| shared.is_streamed_through(*length)) {
        return block.stream_through(source.into_content(length)).await;
    }
    let mut reader = BodyReader::new(source);
    let sizes = shared.sizes;
    match reader.length() {
        Some(length) if length < sizes.min_part => {
            let permit = shared.memory.acquire(length).await?;
            let content = reader.take(length).await?;
            reader.finish().await?;
            block.buffer(PartBody { content, permit }).await
        }
        Some(length) => {
            let planned = sizes.split(length, shared.memory.is_low());
            block.upload_parts(PartSplitter::new(&shared.memory, sizes, reader, planned)).await
        }
        None => {
            let permit = shared.memory.acquire(sizes.read_ahead()).await?;
            let content = reader.take(sizes.read_ahead()).await?;
            if content.length() < sizes.min_part {
                return block.buffer(PartBody { content, permit }).await;
            }
            let ahead = PartBody { content, permit };
            block.upload_parts(PartSplitter::resume(&shared.memory, sizes, reader, ahead)).await
        }
    }
}

impl BlockUpload<'_> {
    /// Adds the block to the tail.
    async fn buffer(&self, body: PartBody) -> Result<u64, StorageError> {
        let PartBody { content, mut permit } = body;
        let length = content.length();
        permit.shrink_to(length);
        let bytes = content.into_bytes();
        let digest = self.digest(length).await;
        let full = {
            let _gate = self.upload.gate.read().await;
            if !self.upload.is_current(&self.session) {
                return Err(uploads::closed());
            }
            let time = self.session.next_timestamp(self.shared);
            let block = Buffered { id: self.id.clone(), time, bytes, digest, _permit: permit, spilled: None };
            self.session.append(self.shared, block)?
        };
        if let Some(sealed) = full {
            send_in_background(self.shared, &self.session, sealed);
            let oldest =
                { self.session.sealed().split_first().map(|(first, rest)| (Arc::clone(first), rest.len())) };
            if let Some((oldest, _)) = oldest.filter(|(_, others)| *others >= MAX_SEALED) {
                self.session.send(self.shared, &oldest).await?;
            }
        }
        Ok(length)
    }

    /// Stores the block as one part, with one request whose body is the client's.
    async fn stream_through(&self, content: Content) -> Result<u64, StorageError> {
        let (shared, session, length) = (self.shared, &self.session, content.length);
        // Its number is not released on failure: the part may still arrive, and would replace
        // another.
        let claim = session.claim(shared, Some(self.id), 1)?;
        let number = *claim.numbers.first().ok_or(StorageError::NotFound)?;
        let multipart = session.begin(shared, &claim.slot).await?;
        let part = shared.bucket.send_part(&multipart.base.data(), &multipart.id, number, content).await;
        let tag = part.map_err(uploads::gone_as_closed)?.tag;
        self.publish(&[StoredPart { multipart, number, tag, length }], length).await?;
        Ok(length)
    }

    /// Stores the block as parts that are buffered in memory.
    async fn upload_parts(&self, mut splitter: PartSplitter<'_>) -> Result<u64, StorageError> {
        let mut uploads = PartUploads::new(self);
        if let Err(error) = uploads.send_all(&mut splitter).await {
            uploads.abandon().await;
            return Err(error);
        }
        let length = uploads.parts.iter().map(|part| part.length).sum();
        self.publish(&uploads.parts, length).await?;
        uploads.release_unused();
        Ok(length)
    }

    /// Returns the SHA-256 of a body of this length, which has been received.
    async fn digest(&self, length: u64) -> Option<Sha256> {
        recorded(self.recorder.as_ref(), length).await
    }

    /// Records a block whose parts are stored, and then adds it to the staged blocks.
    async fn publish(&self, parts: &[StoredPart], length: u64) -> Result<(), StorageError> {
        let digest = self.digest(length).await;
        let time = self.session.next_timestamp(self.shared);
        let entry = journal::BlockEntry { id: self.id.clone(), time, offset: 0, length, digest };
        let key = self.session.record(self.shared, parts, &[entry]).await?;
        let gate = self.upload.gate.read().await;
        let published = if self.upload.is_current(&self.session) {
            let place = BlockLocation::Parts(parts.into(), 0);
            self.session.insert(self.id, Block { time, length, digest, place })
        } else {
            Err(uploads::closed())
        };
        drop(gate);
        if published.is_err() {
            // The block is not staged, so no process may find its record. If this fails the sweep
            // deletes it.
            let _ = self.shared.bucket.remove(&[key]).await;
        }
        published
    }
}

/// Sends a sealed tail. On failure the commit, or the janitor, sends it again.
pub(super) fn send_in_background(shared: &Arc<Shared>, session: &Arc<Session>, sealed: Arc<Sealed>) {
    let (background, session) = (Arc::clone(shared), Arc::clone(session));
    shared.bucket.detach(async move {
        if let Err(error) = session.send(&background, &sealed).await {
            tracing::debug!(error = %chain(&error), "cannot send staged blocks yet, retrying");
        }
    });
}

/// The parts of one body, in flight.
struct PartUploads<'a> {
    block: &'a BlockUpload<'a>,
    claims: Vec<PartClaim>,
    tasks: VecDeque<Task<StoredPart>>,
    parts: Vec<StoredPart>,
    all_arrived: bool,
}

impl<'a> PartUploads<'a> {
    fn new(block: &'a BlockUpload<'a>) -> Self {
        Self { block, claims: Vec::new(), tasks: VecDeque::new(), parts: Vec::new(), all_arrived: true }
    }

    async fn send_all(&mut self, splitter: &mut PartSplitter<'_>) -> Result<(), StorageError> {
        let shared = self.block.shared;
        let mut free = VecDeque::new();
        loop {
            if free.is_empty() && splitter.parts_left() != Some(0) {
                free = self.claim(splitter.parts_left())?;
            }
            let part_bytes = if shared.memory.is_low() { shared.sizes.min_part } else { shared.sizes.part };
            let Some(body) = splitter.next(part_bytes).await? else { break };
            let Some(number) = free.pop_front() else { break };
            if self.tasks.len() >= MAX_SENDS {
                self.join_first().await?;
            }
            self.start(number, body);
        }
        while !self.tasks.is_empty() {
            self.join_first().await?;
        }
        Ok(())
    }

    /// Reserves numbers for the remaining parts, or [`NUMBERS_PER_BLOCK`]` / 2` where their number
    /// is unknown.
    fn claim(&mut self, parts: Option<usize>) -> Result<VecDeque<u32>, StorageError> {
        let count = parts.map_or(NUMBERS_PER_BLOCK / 2, |parts| u32::try_from(parts).unwrap_or(u32::MAX));
        let id = Some(self.block.id).filter(|_| self.claims.is_empty());
        let claim = self.block.session.claim(self.block.shared, id, count.max(1))?;
        let numbers = claim.numbers.iter().copied().collect();
        self.claims.push(claim);
        Ok(numbers)
    }

    fn start(&mut self, number: u32, body: PartBody) {
        let Some(claim) = self.claims.last() else { return };
        let (shared, session) = (Arc::clone(self.block.shared), Arc::clone(&self.block.session));
        let slot = Arc::clone(&claim.slot);
        self.tasks.push_back(self.block.shared.bucket.spawn(async move {
            let multipart = session.begin(&shared, &slot).await?;
            let PartBody { content, permit } = body;
            let length = content.length();
            let key = multipart.base.data();
            let part = shared.bucket.put_part(&key, &multipart.id, number, content.into_pieces()).await;
            let part = part.map_err(uploads::gone_as_closed)?;
            drop(permit);
            Ok(StoredPart { multipart, number, tag: part.tag, length })
        }));
    }

    async fn join_first(&mut self) -> Result<(), StorageError> {
        let Some(task) = self.tasks.pop_front() else { return Ok(()) };
        let joined = task.join().await;
        self.all_arrived &= joined.is_ok();
        self.parts.push(joined?);
        Ok(())
    }

    /// Ends a failed body. Its numbers are released only if every part that was sent has arrived: a
    /// part that arrives late would replace another one with its number.
    async fn abandon(&mut self) {
        while !self.tasks.is_empty() {
            // The first failure has been returned.
            let _ = self.join_first().await;
        }
        if self.all_arrived {
            self.claims.iter().for_each(PartClaim::release);
        }
    }

    /// Releases the numbers that no part used.
    fn release_unused(&mut self) {
        let used: Vec<u32> = self.parts.iter().map(|part| part.number).collect();
        if let Some(last) = self.claims.last_mut() {
            let used = |number: &u32| used.contains(number);
            last.numbers.retain(|number| !used(number));
            last.release();
        }
    }
}
