//! The blocks of a session: which are complete, and where their bytes are.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    memory::MemoryPermit,
    session::{Multipart, Sealed},
};
use crate::{BlockId, MAX_BLOCKS, Sha256, StorageError};

/// Most blocks staged in a session; a block that is sent again counts again. Bounds the memory of
/// an upload.
const MAX_STAGED: usize = 2 * MAX_BLOCKS;

/// A part that was stored.
#[derive(Clone, Debug)]
pub(super) struct StoredPart {
    pub(super) multipart: Arc<Multipart>,
    pub(super) number: u32,
    pub(super) tag: String,
    pub(super) length: u64,
}

/// Where the bytes of a block are.
#[derive(Clone, Debug)]
pub(super) enum BlockLocation {
    /// In the memory of this session.
    Memory,
    /// At an offset of these parts, concatenated.
    Parts(Arc<[StoredPart]>, u64),
    /// At an offset of a spilled object.
    Spilled(Arc<Spill>, u64),
}

/// A small object with the bytes of a tail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spill {
    pub(super) key: String,
    pub(super) length: u64,
}

/// A complete block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// When it was complete. Of several blocks with one id the latest counts.
    pub(super) time: u64,
    pub(super) length: u64,
    /// SHA-256 of its bytes. `None` if that was not asked for.
    pub(super) digest: Option<Sha256>,
    pub(super) place: BlockLocation,
}

/// A small block in memory.
#[derive(Debug)]
pub(super) struct Buffered {
    pub(super) id: BlockId,
    pub(super) time: u64,
    pub(super) bytes: Bytes,
    pub(super) digest: Option<Sha256>,
    pub(super) _permit: MemoryPermit,
    /// The spilled object, and the offset in it.
    pub(super) spilled: Option<(Arc<Spill>, u64)>,
}

impl Buffered {
    /// The block, as it is staged.
    pub(super) fn staged(&self) -> Block {
        let length = self.bytes.len() as u64;
        Block { time: self.time, length, digest: self.digest, place: BlockLocation::Memory }
    }
}

/// The staged blocks of a session.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) blocks: HashMap<BlockId, Block>,
    pub(super) tail: Vec<Buffered>,
    pub(super) tail_bytes: u64,
    pub(super) sealed: Vec<Arc<Sealed>>,
    staged: usize,
    last_time: u64,
    pub(super) touched: Instant,
}

impl Staging {
    /// `last_time`: the latest timestamp in the upload so far.
    pub(super) fn new(last_time: u64) -> Self {
        Self {
            blocks: HashMap::new(),
            tail: Vec::new(),
            tail_bytes: 0,
            sealed: Vec::new(),
            staged: 0,
            last_time,
            touched: Instant::now(),
        }
    }

    pub(super) fn next_timestamp(&mut self, now_ms: u64) -> u64 {
        self.last_time = now_ms.max(self.last_time + 1);
        self.last_time
    }

    pub(super) fn count_block(&mut self) -> Result<(), StorageError> {
        if self.staged >= MAX_STAGED {
            return Err(StorageError::Invalid("too many blocks in one upload".to_owned()));
        }
        self.staged += 1;
        Ok(())
    }

    /// Adds a block, unless there is a later one with its id.
    pub(super) fn remember(&mut self, id: BlockId, block: Block) {
        self.touched = Instant::now();
        match self.blocks.get(&id) {
            Some(known) if known.time > block.time => return,
            Some(Block { time, length, place: BlockLocation::Memory, .. }) => {
                // The bytes of the replaced block are dropped, unless its tail is sealed.
                let (time, length) = (*time, *length);
                let before = self.tail.len();
                self.tail.retain(|old| old.time != time);
                if self.tail.len() < before {
                    self.tail_bytes -= length;
                }
            }
            Some(_) | None => {}
        }
        self.blocks.insert(id, block);
    }

    /// Updates the place of a block that has not been replaced.
    pub(super) fn moved(&mut self, id: &BlockId, time: u64, place: BlockLocation) {
        if let Some(block) = self.blocks.get_mut(id).filter(|block| block.time == time) {
            block.place = place;
        }
    }

    /// Returns whether there are blocks in memory only.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.sealed.is_empty() || self.tail.iter().any(|block| block.spilled.is_none())
    }
}
