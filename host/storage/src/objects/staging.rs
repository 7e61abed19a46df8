//! What a session knows of its blocks: which are complete, and where their bytes are.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    memory::MemoryPermit,
    session::{Multipart, Sealed},
};
use crate::{BlockId, MAX_BLOCKS, StorageError};

/// Most blocks taken in by a session, resent ones counted again. Bounds the memory that an upload can take.
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
pub(super) enum Place {
    /// In the memory of this session.
    Memory,
    /// In these parts, one behind the other, from an offset on.
    Parts(Arc<[StoredPart]>, u64),
    /// In a spilled object of this key and length, from an offset on.
    Spilled(Arc<Spill>, u64),
}

/// Bytes of a tail that were written down.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spill {
    pub(super) key: String,
    pub(super) length: u64,
}

/// A complete block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// When it was complete; of several blocks with one id the last counts.
    pub(super) time: u64,
    pub(super) length: u64,
    pub(super) place: Place,
}

/// A small block in memory.
#[derive(Debug)]
pub(super) struct Buffered {
    pub(super) id: BlockId,
    pub(super) time: u64,
    pub(super) bytes: Bytes,
    pub(super) _permit: MemoryPermit,
    /// Where it is written down, and from which offset on.
    pub(super) spilled: Option<(Arc<Spill>, u64)>,
}

/// What a session knows.
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
    /// `last_time`: of what is there already.
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

    /// Lets a block count, unless a later one with its id is there already.
    pub(super) fn remember(&mut self, id: BlockId, block: Block) {
        self.touched = Instant::now();
        match self.blocks.get(&id) {
            Some(known) if known.time > block.time => return,
            Some(Block { time, length, place: Place::Memory }) => {
                // The bytes of the old one are not needed any more, unless they are on their way already.
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

    /// Notes where a block is now, if it still counts.
    pub(super) fn moved(&mut self, id: &BlockId, time: u64, place: Place) {
        if let Some(block) = self.blocks.get_mut(id).filter(|block| block.time == time) {
            block.place = place;
        }
    }

    /// Returns whether blocks are in memory only.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.sealed.is_empty() || self.tail.iter().any(|block| block.spilled.is_none())
    }
}
