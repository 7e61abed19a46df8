//! The records of an upload in the bucket: which blocks are complete, and where their bytes are.
//!
//! Each record is an object of its own, so writing one is atomic and no process overwrites
//! another's. A record has a few hundred bytes for a part of some megabytes. Reading an upload
//! takes one listing and a request for each record.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Shared,
    keys::{self, Base, UploadKey},
    session::Multipart,
    staging::{Block, BlockLocation, Buffered, Spill, StoredPart},
};
use crate::{
    BlockId, Sha256, StorageError, UploadName,
    bucket::{Bucket, Pieces},
};

/// Longest record that Larder writes: 100,000 blocks with the longest ids.
pub(super) const MAX_RECORD_BYTES: u64 = 64 << 20;

/// Records read at the same time.
const READS: usize = 32;

#[derive(Serialize, Deserialize)]
struct MultipartRecord {
    base: String,
    id: String,
}

/// Blocks in these parts, or in a spilled object.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spill: Option<SpillEntry>,
    blocks: Vec<BlockEntry>,
}

#[derive(Serialize, Deserialize)]
struct PartEntry {
    #[serde(rename = "m")]
    multipart: u32,
    #[serde(rename = "n")]
    number: u32,
    #[serde(rename = "t")]
    tag: String,
    #[serde(rename = "l")]
    length: u64,
}

#[derive(Serialize, Deserialize)]
struct SpillEntry {
    key: String,
    length: u64,
}

/// A block, at an offset of the bytes of its record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    #[serde(rename = "i", with = "block_id")]
    pub(super) id: BlockId,
    #[serde(rename = "w")]
    pub(super) time: u64,
    #[serde(rename = "o")]
    pub(super) offset: u64,
    #[serde(rename = "l")]
    pub(super) length: u64,
    /// SHA-256 of its bytes.
    #[serde(rename = "d", default, with = "sha256_text", skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Sha256>,
}

impl BlockEntry {
    pub(super) fn at(block: &Buffered, offset: u64) -> Self {
        let (id, length) = (block.id.clone(), block.bytes.len() as u64);
        Self { id, time: block.time, offset, length, digest: block.digest }
    }
}

/// Block ids as text.
pub(super) mod block_id {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::BlockId;

    pub(in crate::objects) fn serialize<S: Serializer>(id: &BlockId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(id.as_str())
    }

    pub(in crate::objects) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BlockId, D::Error> {
        BlockId::parse(String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// A SHA-256 as text.
mod sha256_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::Sha256;

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(sha256: &Option<Sha256>, to: S) -> Result<S::Ok, S::Error> {
        match sha256 {
            Some(sha256) => to.serialize_str(&hex::encode(sha256)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sha256>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let mut sha256 = Sha256::default();
        hex::decode_to_slice(text, &mut sha256).map_err(de::Error::custom)?;
        Ok(Some(sha256))
    }
}

/// Encodes a record.
pub(super) fn encode(record: &impl Serialize) -> Result<Pieces, StorageError> {
    let bytes =
        serde_json::to_vec(record).map_err(|error| StorageError::unavailable("writing a record", error))?;
    Ok(vec![Bytes::from(bytes)])
}

/// Reads a record.
pub(super) async fn read<T: DeserializeOwned>(shared: &Shared, key: &str) -> Result<T, StorageError> {
    let bytes = shared.bucket.read(key, MAX_RECORD_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|error| StorageError::unavailable("reading a record", error))
}

/// Returns the record of a multipart.
pub(super) fn multipart(multipart: &Multipart) -> Result<Pieces, StorageError> {
    encode(&MultipartRecord { base: multipart.base.as_str().to_owned(), id: multipart.id.clone() })
}

/// Returns the entries of blocks that are stored one after the other.
pub(super) fn offsets(blocks: &[Buffered]) -> Vec<BlockEntry> {
    let mut offset = 0;
    let entry = |block: &Buffered| {
        let entry = BlockEntry::at(block, offset);
        offset += entry.length;
        entry
    };
    blocks.iter().map(entry).collect()
}

/// Returns the record of blocks in parts. `number` returns the slot number of a part's multipart
/// upload.
pub(super) fn record_of_parts(
    parts: &[StoredPart],
    number: impl Fn(&StoredPart) -> u32,
    blocks: &[BlockEntry],
) -> Result<Pieces, StorageError> {
    let entry = |part: &StoredPart| PartEntry {
        multipart: number(part),
        number: part.number,
        tag: part.tag.clone(),
        length: part.length,
    };
    encode(&Record { parts: parts.iter().map(entry).collect(), spill: None, blocks: blocks.to_vec() })
}

/// Returns the record of blocks that were spilled.
pub(super) fn record_of_spill(spill: &Spill, blocks: &[BlockEntry]) -> Result<Pieces, StorageError> {
    let entry = SpillEntry { key: spill.key.clone(), length: spill.length };
    encode(&Record { parts: Vec::new(), spill: Some(entry), blocks: blocks.to_vec() })
}

/// The keys of an upload.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) is_planned: bool,
    pub(super) is_done: bool,
    /// Names of all sessions.
    pub(super) sessions: HashSet<String>,
    multiparts: Vec<(String, u32, String)>,
    records: Vec<(String, String)>,
    /// The latest timestamp of a record.
    pub(super) last_time: u64,
    /// Every key.
    pub(super) keys: Vec<String>,
}

/// Lists the keys of an upload.
pub(super) async fn list(shared: &Shared, upload: &UploadName) -> Result<Listing, StorageError> {
    let prefix = keys::upload_prefix(upload);
    let mut listing = Listing::default();
    let mut from = None;
    loop {
        let page = shared.bucket.list(&prefix, from.as_deref()).await?;
        page.items.into_iter().for_each(|item| listing.add(&prefix, item.key));
        from = page.next;
        if from.is_none() {
            return Ok(listing);
        }
    }
}

impl Listing {
    fn add(&mut self, prefix: &str, key: String) {
        match key.strip_prefix(prefix).and_then(keys::parse_staged) {
            Some(UploadKey::Plan) => self.is_planned = true,
            Some(UploadKey::Done) => self.is_done = true,
            Some(UploadKey::Open { session }) => drop(self.sessions.insert(session)),
            Some(UploadKey::Multipart { session, number }) => {
                self.multiparts.push((session, number, key.clone()));
            }
            Some(UploadKey::Record { session, time }) => {
                self.last_time = self.last_time.max(time);
                self.records.push((session, key.clone()));
            }
            Some(UploadKey::Spill) | None => {}
        }
        self.keys.push(key);
    }

    /// Reads the records of all sessions, except for one.
    pub(super) async fn blocks(
        &self,
        shared: &Shared,
        except: Option<&str>,
    ) -> Result<HashMap<BlockId, Block>, StorageError> {
        let wanted = |session: &String| Some(session.as_str()) != except && self.sessions.contains(session);
        let multiparts: Vec<_> = self.multiparts.iter().filter(|it| wanted(&it.0)).cloned().collect();
        let multiparts: HashMap<(String, u32), Arc<Multipart>> = stream::iter(multiparts)
            .map(|(session, number, key)| async move {
                let multipart = gone_as_none(read::<MultipartRecord>(shared, &key).await)?;
                let multipart = multipart.and_then(MultipartRecord::into_multipart);
                Ok::<_, StorageError>(multipart.map(|it| ((session, number), Arc::new(it))))
            })
            .buffer_unordered(READS)
            .try_filter_map(|multipart| async move { Ok(multipart) })
            .try_collect()
            .await?;
        let records: Vec<_> = self.records.iter().filter(|it| wanted(&it.0)).cloned().collect();
        let mut records = stream::iter(records)
            .map(|(session, key)| async move {
                Ok::<_, StorageError>((session, gone_as_none(read::<Record>(shared, &key).await)?))
            })
            .buffer_unordered(READS);
        let mut blocks = HashMap::new();
        while let Some((session, record)) = records.try_next().await? {
            if let Some(record) = record {
                record.add_to(&mut blocks, |number| multiparts.get(&(session.clone(), number)).cloned());
            }
        }
        Ok(blocks)
    }
}

/// Skips a record that was deleted since it was listed.
fn gone_as_none<T>(result: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StorageError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

impl MultipartRecord {
    fn into_multipart(self) -> Option<Multipart> {
        Some(Multipart { base: Base::parse(&self.base)?, id: self.id })
    }
}

impl Record {
    /// Adds the blocks of this record that are the latest with their id. A record whose multipart
    /// upload is missing is skipped: the upload was discarded.
    fn add_to(self, blocks: &mut HashMap<BlockId, Block>, multipart: impl Fn(u32) -> Option<Arc<Multipart>>) {
        let stored = |part: &PartEntry| {
            let (number, tag, length) = (part.number, part.tag.clone(), part.length);
            Some(StoredPart { multipart: multipart(part.multipart)?, number, tag, length })
        };
        let Some(parts) = self.parts.iter().map(stored).collect::<Option<Arc<[StoredPart]>>>() else {
            return;
        };
        let spill = self.spill.map(|spill| Arc::new(Spill { key: spill.key, length: spill.length }));
        for BlockEntry { id, time, offset, length, digest } in self.blocks {
            let place = match &spill {
                Some(spill) => BlockLocation::Spilled(Arc::clone(spill), offset),
                None => BlockLocation::Parts(Arc::clone(&parts), offset),
            };
            let is_later = |known: &Block| {
                known.time < time || known.time == time && matches!(known.place, BlockLocation::Spilled(..))
            };
            if blocks.get(&id).is_none_or(is_later) {
                blocks.insert(id, Block { time, length, digest, place });
            }
        }
    }
}
