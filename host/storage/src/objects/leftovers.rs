//! Blocks that are in no part when their upload is committed: the rest in memory, and what was spilled. They become the last
//! parts.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use super::{
    Shared,
    body::ChunkBuffer,
    keys::{self, Base},
    session::{Multipart, Session},
    staging::{Spill, StoredPart},
};
use crate::{BlockId, StorageError, UploadName, bucket::Bucket};

/// Parts that are added to a multipart of another process get numbers among so many at the upper end: another one that adds
/// parts at the same time gets others.
const FOREIGN_NUMBERS: u32 = 2048;

/// A block, complete, in no part.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    pub(super) id: BlockId,
    pub(super) length: u64,
    pub(super) bytes: LeftoverBytes,
}

/// Its bytes.
#[derive(Clone, Debug)]
pub(super) enum LeftoverBytes {
    Memory(Bytes),
    Spilled(Arc<Spill>, u64),
}

/// Puts the additions together. Reads each spilled object once where its blocks follow each other.
struct Reader<'a> {
    shared: &'a Shared,
    leftovers: std::slice::Iter<'a, Leftover>,
    rest: Bytes,
    spill: Option<(Arc<Spill>, Bytes)>,
}

impl<'a> Reader<'a> {
    fn new(shared: &'a Shared, leftovers: &'a [Leftover]) -> Self {
        Self { shared, leftovers: leftovers.iter(), rest: Bytes::new(), spill: None }
    }

    async fn take(&mut self, wanted: u64) -> Result<ChunkBuffer, StorageError> {
        let mut gathered = ChunkBuffer::default();
        while gathered.length < wanted {
            if self.rest.is_empty() {
                let Some(leftover) = self.leftovers.next() else { break };
                self.rest = self.bytes(leftover).await?;
            }
            let missing = usize::try_from(wanted - gathered.length).unwrap_or(usize::MAX);
            gathered.push(self.rest.split_to(missing.min(self.rest.len())));
        }
        Ok(gathered)
    }

    async fn bytes(&mut self, leftover: &Leftover) -> Result<Bytes, StorageError> {
        let (spill, offset) = match &leftover.bytes {
            LeftoverBytes::Memory(bytes) => return Ok(bytes.clone()),
            LeftoverBytes::Spilled(spill, offset) => (spill, *offset),
        };
        if self.spill.as_ref().is_none_or(|(read, _)| read != spill) {
            self.spill = None;
            let bytes = self.shared.bucket.read(&spill.key, spill.length).await?;
            self.spill = Some((Arc::clone(spill), bytes));
        }
        let all = self.spill.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let until = from.saturating_add(usize::try_from(leftover.length).unwrap_or(usize::MAX));
        if until > all.len() {
            return Err(StorageError::NotFound);
        }
        Ok(all.slice(from..until))
    }
}

/// Returns how much memory it takes to put a piece of so many bytes together.
fn needed(leftovers: &[Leftover], piece: u64) -> u64 {
    let spilled = leftovers.iter().filter_map(|leftover| match &leftover.bytes {
        LeftoverBytes::Memory(_) => None,
        LeftoverBytes::Spilled(spill, _) => Some(spill.length),
    });
    // What is in memory counts already.
    spilled.max().map_or(0, |largest| piece + largest)
}

/// Returns the additions as often and in the order in which a list names them.
pub(super) fn as_listed(ids: &[BlockId], leftovers: &[Leftover]) -> Vec<Leftover> {
    let by_id: HashMap<&BlockId, &Leftover> = leftovers.iter().map(|it| (&it.id, it)).collect();
    ids.iter().filter_map(|id| by_id.get(id).copied().cloned()).collect()
}

/// Makes an object of all additions.
pub(super) async fn put(shared: &Shared, base: &Base, leftovers: &[Leftover]) -> Result<(), StorageError> {
    let total = leftovers.iter().map(|leftover| leftover.length).sum();
    let _permit = shared.memory.acquire(needed(leftovers, total)).await?;
    let content = Reader::new(shared, leftovers).take(total).await?;
    shared.bucket.put(&base.data(), content.into_pieces()).await
}

/// Makes the last parts of all additions: of the multipart in which the other blocks are, where that can be.
pub(super) async fn add(
    shared: &Shared,
    name: &UploadName,
    session: Option<&Arc<Session>>,
    parts: &[&StoredPart],
    leftovers: &[Leftover],
) -> Result<Arc<[StoredPart]>, StorageError> {
    let total = leftovers.iter().map(|leftover| leftover.length).sum();
    let lengths = shared.sizes.split(total, false);
    let count = u32::try_from(lengths.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return Ok(Vec::new().into());
    }
    let (multipart, numbers) = match foreign(shared, session, parts, count)? {
        Some(target) => target,
        None => own(shared, name, session, count).await?,
    };
    let mut reader = Reader::new(shared, leftovers);
    let mut added = Vec::new();
    for (length, number) in lengths.into_iter().zip(numbers) {
        let _permit = shared.memory.acquire(needed(leftovers, length)).await?;
        let pieces = reader.take(length).await?.into_pieces();
        let part = shared.bucket.put_part(&multipart.base.data(), &multipart.id, number, pieces).await?;
        added.push(StoredPart { multipart: Arc::clone(&multipart), number, tag: part.tag, length });
    }
    Ok(added.into())
}

type Target = (Arc<Multipart>, Vec<u32>);

/// Finds room in the one multipart, of another session, in which all other blocks are.
fn foreign(
    shared: &Shared,
    session: Option<&Arc<Session>>,
    parts: &[&StoredPart],
    count: u32,
) -> Result<Option<Target>, StorageError> {
    let Some(first) = parts.first() else { return Ok(None) };
    let multipart = &first.multipart;
    let is_own = session.is_some_and(|session| session.owns(multipart));
    if is_own || parts.iter().any(|part| part.multipart.base != multipart.base) {
        return Ok(None);
    }
    let last = parts.iter().map(|part| part.number).max().unwrap_or(0);
    let max = shared.sizes.max_number;
    let lowest = (last + 1).max(max.saturating_sub(FOREIGN_NUMBERS));
    let Some(choices) = (max + 1).checked_sub(lowest).and_then(|free| free.checked_sub(count)) else {
        return Ok(None);
    };
    let random = u64::from_str_radix(&keys::random()?, 16).unwrap_or(0);
    let start = lowest + u32::try_from(random % (u64::from(choices) + 1)).unwrap_or(0);
    Ok(Some((Arc::clone(multipart), (start..start + count).collect())))
}

/// Takes numbers in a multipart of this session, or of a new one.
async fn own(
    shared: &Shared,
    name: &UploadName,
    session: Option<&Arc<Session>>,
    count: u32,
) -> Result<Target, StorageError> {
    let new = || Ok::<_, StorageError>(Arc::new(Session::new(name.clone(), keys::random()?, 0)));
    let session = session.cloned().map_or_else(new, Ok)?;
    let claim = session.claim(shared, None, count)?;
    Ok((session.begin(shared, &claim.slot).await?, claim.numbers))
}
