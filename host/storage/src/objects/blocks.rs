//! Takes the blocks of an upload in.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Shared,
    hosted::Task,
    intake::{Cutter, Intake, Piece},
    journal,
    numbers::NUMBERS_PER_BLOCK,
    session::{Claim, Sealed, Session, UnderWay},
    staging::{Block, Buffered, Place, StoredPart},
    uploads::{self, Upload},
};
use crate::{BlockId, Content, Source, StorageError, UploadName, bucket::Bucket};
use larder_common::causes::chain;

/// Parts of one body that are sent at once, while the next is received.
const SENDS: usize = 2;

/// Full tails of one upload that are on their way, before a block has to wait for the oldest.
const SEALED: usize = 2;

/// A block that is being taken in.
struct Taking<'a> {
    shared: &'a Arc<Shared>,
    upload: Arc<Upload>,
    session: Arc<Session>,
    id: &'a BlockId,
    _under_way: UnderWay,
}

/// Stages a block.
pub(super) async fn put_block(
    shared: &Arc<Shared>,
    name: &UploadName,
    id: &BlockId,
    source: Source,
) -> Result<u64, StorageError> {
    let (upload, session) = uploads::open(shared, name).await?;
    let under_way = Session::begin_body(&session);
    let taking = Taking { shared, upload, session, id, _under_way: under_way };
    if let Some(length) = source.length.filter(|length| shared.is_sent_on(*length)) {
        return taking.sent_on(source.into_content(length)).await;
    }
    let mut intake = Intake::new(source);
    let sizes = shared.sizes;
    match intake.length() {
        Some(length) if length < sizes.min_part => {
            let held = shared.room.take(length).await?;
            let content = intake.take(length).await?;
            intake.finish().await?;
            taking.small(Piece { content, held }).await
        }
        Some(length) => {
            let planned = sizes.cut(length, shared.room.is_scarce());
            taking.large(Cutter::new(&shared.room, sizes, intake, planned)).await
        }
        None => {
            let held = shared.room.take(sizes.read_ahead()).await?;
            let content = intake.take(sizes.read_ahead()).await?;
            if content.length < sizes.min_part {
                return taking.small(Piece { content, held }).await;
            }
            taking.large(Cutter::resume(&shared.room, sizes, intake, Piece { content, held })).await
        }
    }
}

impl Taking<'_> {
    /// Adds a block to the tail.
    async fn small(&self, piece: Piece) -> Result<u64, StorageError> {
        let Piece { content, mut held } = piece;
        let length = content.length;
        held.shrink_to(length);
        let bytes = content.into_bytes();
        let full = {
            let _gate = self.upload.gate.read().await;
            if !self.upload.is_current(&self.session) {
                return Err(uploads::closed());
            }
            let time = self.session.tick(self.shared);
            let block = Buffered { id: self.id.clone(), time, bytes, _held: held, spilled: None };
            self.session.append(self.shared, block)?
        };
        if let Some(sealed) = full {
            send_in_background(self.shared, &self.session, sealed);
            let oldest =
                { self.session.sealed().split_first().map(|(first, rest)| (Arc::clone(first), rest.len())) };
            if let Some((oldest, _)) = oldest.filter(|(_, others)| *others >= SEALED) {
                self.session.send(self.shared, &oldest).await?;
            }
        }
        Ok(length)
    }

    /// Makes one part of a block, while it comes.
    async fn sent_on(&self, content: Content) -> Result<u64, StorageError> {
        let (shared, session, length) = (self.shared, &self.session, content.length);
        // Not given back where it fails: a late part could take the place of another one's.
        let claim = session.claim(shared, Some(self.id), 1)?;
        let number = *claim.numbers.first().ok_or(StorageError::NotFound)?;
        let multipart = session.begin(shared, &claim.volume).await?;
        let part = shared.bucket.send_part(&multipart.base.data(), &multipart.id, number, content).await;
        let tag = part.map_err(uploads::gone_is_closed)?.tag;
        self.count(&[StoredPart { multipart, number, tag, length }], length).await?;
        Ok(length)
    }

    /// Makes parts of a block.
    async fn large(&self, mut cutter: Cutter<'_>) -> Result<u64, StorageError> {
        let mut sending = Sending::new(self);
        if let Err(error) = sending.all(&mut cutter).await {
            sending.give_up().await;
            return Err(error);
        }
        let length = sending.parts.iter().map(|part| part.length).sum();
        self.count(&sending.parts, length).await?;
        sending.give_back_unused();
        Ok(length)
    }

    /// Makes a block count that lies in parts: it is written down first.
    async fn count(&self, parts: &[StoredPart], length: u64) -> Result<(), StorageError> {
        let time = self.session.tick(self.shared);
        let entry = journal::BlockEntry { id: self.id.clone(), time, offset: 0, length };
        let key = self.session.write_down(self.shared, parts, &[entry]).await?;
        let gate = self.upload.gate.read().await;
        let counted = if self.upload.is_current(&self.session) {
            self.session.insert(self.id, Block { time, length, place: Place::Parts(parts.into(), 0) })
        } else {
            Err(uploads::closed())
        };
        drop(gate);
        if counted.is_err() {
            // It does not count, so it must not be found either. What fails here the sweep makes up for.
            let _ = self.shared.bucket.remove(&[key]).await;
        }
        counted
    }
}

/// Sends a full tail; a failure is made up for by the next who needs it, or by the janitor.
pub(super) fn send_in_background(shared: &Arc<Shared>, session: &Arc<Session>, sealed: Arc<Sealed>) {
    let (background, session) = (Arc::clone(shared), Arc::clone(session));
    shared.bucket.detach(async move {
        if let Err(error) = session.send(&background, &sealed).await {
            tracing::debug!(error = %chain(&error), "blocks could not be sent yet");
        }
    });
}

/// The parts of one body, on their way.
struct Sending<'a> {
    taking: &'a Taking<'a>,
    claims: Vec<Claim>,
    tasks: VecDeque<Task<StoredPart>>,
    parts: Vec<StoredPart>,
    all_arrived: bool,
}

impl<'a> Sending<'a> {
    fn new(taking: &'a Taking<'a>) -> Self {
        Self { taking, claims: Vec::new(), tasks: VecDeque::new(), parts: Vec::new(), all_arrived: true }
    }

    async fn all(&mut self, cutter: &mut Cutter<'_>) -> Result<(), StorageError> {
        let shared = self.taking.shared;
        let mut free = VecDeque::new();
        loop {
            if free.is_empty() && cutter.pieces_left() != Some(0) {
                free = self.claim(cutter.pieces_left())?;
            }
            let part_bytes = if shared.room.is_scarce() { shared.sizes.min_part } else { shared.sizes.part };
            let Some(piece) = cutter.next(part_bytes).await? else { break };
            let Some(number) = free.pop_front() else { break };
            if self.tasks.len() >= SENDS {
                self.join_first().await?;
            }
            self.start(number, piece);
        }
        while !self.tasks.is_empty() {
            self.join_first().await?;
        }
        Ok(())
    }

    /// Takes numbers for the pieces that are left; for some, where that is not known.
    fn claim(&mut self, pieces: Option<usize>) -> Result<VecDeque<u32>, StorageError> {
        let count = pieces.map_or(NUMBERS_PER_BLOCK / 2, |pieces| u32::try_from(pieces).unwrap_or(u32::MAX));
        let id = Some(self.taking.id).filter(|_| self.claims.is_empty());
        let claim = self.taking.session.claim(self.taking.shared, id, count.max(1))?;
        let numbers = claim.numbers.iter().copied().collect();
        self.claims.push(claim);
        Ok(numbers)
    }

    fn start(&mut self, number: u32, piece: Piece) {
        let Some(claim) = self.claims.last() else { return };
        let (shared, session) = (Arc::clone(self.taking.shared), Arc::clone(&self.taking.session));
        let volume = Arc::clone(&claim.volume);
        self.tasks.push_back(self.taking.shared.bucket.start(async move {
            let multipart = session.begin(&shared, &volume).await?;
            let Piece { content, held } = piece;
            let length = content.length;
            let key = multipart.base.data();
            let part = shared.bucket.put_part(&key, &multipart.id, number, content.into_pieces()).await;
            let part = part.map_err(uploads::gone_is_closed)?;
            drop(held);
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

    /// After a body that failed. Its numbers can be used again where all that was sent has arrived; where that is not known
    /// a late part could take the place of another one's.
    async fn give_up(&mut self) {
        while !self.tasks.is_empty() {
            // The first failure was told already.
            let _ = self.join_first().await;
        }
        if self.all_arrived {
            self.claims.iter().for_each(Claim::give_back);
        }
    }

    /// Gives back the numbers that were taken for parts that did not come.
    fn give_back_unused(&mut self) {
        let used: Vec<u32> = self.parts.iter().map(|part| part.number).collect();
        if let Some(last) = self.claims.last_mut() {
            let used = |number: &u32| used.contains(number);
            last.numbers.retain(|number| !used(number));
            last.give_back();
        }
    }
}
