//! Leftovers: blocks that are in no part when their upload is committed, because they are in memory
//! or spilled. They become the last parts.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use super::{
    Shared,
    body::COPIES,
    keys::{self, Base},
    session::{Multipart, Session},
    staging::{Spill, StoredPart},
};
use crate::{BlockId, StorageError, UploadName, bucket::Bucket, chunk_buffer::ChunkBuffer};

/// Leftovers that are added to a multipart upload of another process get random numbers among this
/// many at the upper end, so that two processes that do so at the same time get different ones.
const FOREIGN_NUMBERS: u32 = 2048;

/// A complete block that is in no part.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    pub(super) id: BlockId,
    pub(super) length: u64,
    pub(super) bytes: LeftoverBytes,
}

/// Where the bytes of a leftover are.
#[derive(Clone, Debug)]
pub(super) enum LeftoverBytes {
    Memory(Bytes),
    Spilled(Arc<Spill>, u64),
}

/// Concatenates leftovers. Reads a spilled object once for consecutive blocks of it.
struct LeftoverReader<'a> {
    shared: &'a Shared,
    leftovers: std::slice::Iter<'a, Leftover>,
    rest: Bytes,
    spill: Option<(Arc<Spill>, Bytes)>,
}

impl<'a> LeftoverReader<'a> {
    fn new(shared: &'a Shared, leftovers: &'a [Leftover]) -> Self {
        Self { shared, leftovers: leftovers.iter(), rest: Bytes::new(), spill: None }
    }

    async fn take(&mut self, wanted: u64) -> Result<ChunkBuffer, StorageError> {
        let mut gathered = ChunkBuffer::new(COPIES);
        while gathered.length() < wanted {
            if self.rest.is_empty() {
                let Some(leftover) = self.leftovers.next() else { break };
                self.rest = self.bytes(leftover).await?;
            }
            let missing = usize::try_from(wanted - gathered.length()).unwrap_or(usize::MAX);
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

/// Memory needed to concatenate `piece` bytes: leftovers that are in memory hold theirs already.
fn needed(leftovers: &[Leftover], piece: u64) -> u64 {
    let spilled = leftovers.iter().filter_map(|leftover| match &leftover.bytes {
        LeftoverBytes::Memory(_) => None,
        LeftoverBytes::Spilled(spill, _) => Some(spill.length),
    });
    spilled.max().map_or(0, |largest| piece + largest)
}

/// Returns the leftovers in the order of the list, and as often as they are in it.
pub(super) fn in_list_order(ids: &[BlockId], leftovers: &[Leftover]) -> Vec<Leftover> {
    let by_id: HashMap<&BlockId, &Leftover> = leftovers.iter().map(|it| (&it.id, it)).collect();
    ids.iter().filter_map(|id| by_id.get(id).copied().cloned()).collect()
}

/// Stores all leftovers as one object.
pub(super) async fn put(shared: &Shared, base: &Base, leftovers: &[Leftover]) -> Result<(), StorageError> {
    let total = leftovers.iter().map(|leftover| leftover.length).sum();
    let _permit = shared.memory.acquire(needed(leftovers, total)).await?;
    let content = LeftoverReader::new(shared, leftovers).take(total).await?;
    shared.bucket.put(&base.data(), content.into_pieces()).await
}

/// Stores all leftovers as the last parts: in the multipart upload of the other blocks, if
/// possible.
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
    let mut reader = LeftoverReader::new(shared, leftovers);
    let mut added = Vec::new();
    for (length, number) in lengths.into_iter().zip(numbers) {
        let _permit = shared.memory.acquire(needed(leftovers, length)).await?;
        let pieces = reader.take(length).await?.into_pieces();
        let part = shared.bucket.put_part(&multipart.base.data(), &multipart.id, number, pieces).await?;
        added.push(StoredPart { multipart: Arc::clone(&multipart), number, tag: part.tag, length });
    }
    Ok(added.into())
}

type PartTarget = (Arc<Multipart>, Vec<u32>);

/// Takes numbers in a multipart upload of another session, if all other blocks are in it.
fn foreign(
    shared: &Shared,
    session: Option<&Arc<Session>>,
    parts: &[&StoredPart],
    count: u32,
) -> Result<Option<PartTarget>, StorageError> {
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

/// Takes numbers in a multipart upload of this session, or of a new one.
async fn own(
    shared: &Shared,
    name: &UploadName,
    session: Option<&Arc<Session>>,
    count: u32,
) -> Result<PartTarget, StorageError> {
    let new = || Ok::<_, StorageError>(Arc::new(Session::new(name.clone(), keys::random()?, 0)));
    let session = session.cloned().map_or_else(new, Ok)?;
    let claim = session.claim(shared, None, count)?;
    Ok((session.begin(shared, &claim.slot).await?, claim.numbers))
}
