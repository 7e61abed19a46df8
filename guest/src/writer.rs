//! Who writes an upload: each time that it is handed out it has another writer.
//!
//! A reservation is handed out once, and again only to what can only be a retry (`service::reserve`). It may be none after
//! all: then two clients hold the same upload. So a URL, or a number of version 1, says which hand-out it is of, and
//!
//! - a writer that is not the current one is refused, and
//! - the blocks of a writer have ids of their own, and a commit names the blocks of one writer only,
//!
//! so that bytes of two writers never become one entry, however their requests race. Used by `url` and `v1` (they carry it), by
//! `blob` and `service`.

use std::borrow::Cow;

use crate::ports::Upload;

/// Seconds are counted modulo 2^19, which is six days: an upload for which nothing comes is given up long before.
const STAMP_BITS: u32 = 19;
/// The bits of a tag: those of the stamp, and one for [`Writer::is_again`].
const TAG_BITS: u32 = STAMP_BITS + 1;
/// Where the numbers end that every client of version 1 can hold: in a double.
const MAX_NUMBER: u64 = 1 << 53;

/// One hand-out of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The second of the hand-out ([`Upload::created_ms`]). Two hand-outs of an upload are a second apart at least.
    stamp: u64,
    /// Not the first hand-out. The first one keeps the ids of its blocks as they are: a storage may know them.
    is_again: bool,
}

impl Writer {
    /// Returns the writer of an upload that was reserved just now.
    pub(crate) fn first(upload: &Upload) -> Self {
        Self { stamp: stamp(upload), is_again: false }
    }

    /// Returns the writer of an upload that was handed out once more just now.
    pub(crate) fn again(upload: &Upload) -> Self {
        Self { stamp: stamp(upload), is_again: true }
    }

    /// Returns the number that stands for it in URLs.
    pub(crate) fn tag(self) -> u64 {
        (self.stamp << 1) | u64::from(self.is_again)
    }

    /// Reads what [`Self::tag`] returned; `None` for any other number.
    pub(crate) fn from_tag(tag: u64) -> Option<Self> {
        (tag >> TAG_BITS == 0).then_some(Self { stamp: tag >> 1, is_again: tag & 1 == 1 })
    }

    /// Returns the number that version 1 has for this hand-out of the upload with this id: not 0, below 2^53. `None` where
    /// the id is too large for that (2^33).
    pub(crate) fn number(self, upload_id: u64) -> Option<u64> {
        let number = upload_id.checked_mul(1 << TAG_BITS)?.checked_add(self.tag())?;
        (number < MAX_NUMBER).then_some(number)
    }

    /// Reads what [`Self::number`] returned: the upload's id, and the writer.
    pub(crate) fn of_number(number: u64) -> (u64, Self) {
        let tag = number & ((1 << TAG_BITS) - 1);
        (number >> TAG_BITS, Self { stamp: tag >> 1, is_again: tag & 1 == 1 })
    }

    /// Returns whether the upload was not handed out again since.
    pub(crate) fn is_current(self, upload: &Upload) -> bool {
        self.stamp == stamp(upload)
    }

    /// Returns the storage's id of this writer's block.
    pub(crate) fn block_id(self, id: Cow<'_, str>) -> String {
        if self.is_again { format!("{:x}.{id}", self.stamp) } else { id.into_owned() }
    }

    /// Returns this writer's id of a block in the storage; `None` where that is another writer's.
    pub(crate) fn own_id(self, block_id: &str) -> Option<&str> {
        if !self.is_again {
            return Some(block_id);
        }
        let (stamp, id) = block_id.split_once('.')?;
        (u64::from_str_radix(stamp, 16) == Ok(self.stamp)).then_some(id)
    }
}

fn stamp(upload: &Upload) -> u64 {
    (upload.created_ms / 1000) & ((1 << STAMP_BITS) - 1)
}

#[cfg(test)]
mod tests;
