//! Writers: each grant of an upload has one.
//!
//! An upload is granted when it is reserved, and once more when it is renewed for a call that can
//! only be a retry (`service::reserve`). If that was no retry after all, two clients hold the same
//! upload. So the writer is part of an upload's URL, and of its number in protocol version 1:
//!
//! - a writer that is not the current one is rejected, and
//! - each writer has its own block ids, and a commit names the blocks of one writer only.
//!
//! Hence an entry never mixes the bytes of two writers, however their requests race.

use std::borrow::Cow;

use crate::ports::Upload;

/// Seconds are counted modulo 2^19, which is six days: an idle upload is abandoned long before.
const STAMP_BITS: u32 = 19;
/// The bits of a tag: those of the stamp, and one for [`Writer::is_renewal`].
const TAG_BITS: u32 = STAMP_BITS + 1;
/// Numbers of version 1 are below this: some clients hold them in a double.
const MAX_NUMBER: u64 = 1 << 53;

/// One grant of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The second of the grant ([`Upload::created_ms`]). Two grants of an upload are at least a
    /// second apart.
    stamp: u64,
    /// Whether the upload was renewed. The first writer's block ids are the client's: storage
    /// drivers may recognize them.
    is_renewal: bool,
}

impl Writer {
    /// Returns the writer of a new reservation.
    pub(crate) fn of_reservation(upload: &Upload) -> Self {
        Self { stamp: stamp(upload), is_renewal: false }
    }

    /// Returns the writer of a renewal.
    pub(crate) fn of_renewal(upload: &Upload) -> Self {
        Self { stamp: stamp(upload), is_renewal: true }
    }

    /// Returns the writer's number in URLs.
    pub(crate) fn tag(self) -> u64 {
        (self.stamp << 1) | u64::from(self.is_renewal)
    }

    /// The inverse of [`Self::tag`]; `None` for any other number.
    pub(crate) fn from_tag(tag: u64) -> Option<Self> {
        (tag >> TAG_BITS == 0).then_some(Self { stamp: tag >> 1, is_renewal: tag & 1 == 1 })
    }

    /// Returns the number of this grant in version 1: not 0, below 2^53. `None` if the upload's id
    /// is too large (2^33 and more).
    pub(crate) fn number(self, upload_id: u64) -> Option<u64> {
        let number = upload_id.checked_mul(1 << TAG_BITS)?.checked_add(self.tag())?;
        (number < MAX_NUMBER).then_some(number)
    }

    /// The inverse of [`Self::number`]: the upload's id, and the writer.
    pub(crate) fn of_number(number: u64) -> (u64, Self) {
        let tag = number & ((1 << TAG_BITS) - 1);
        (number >> TAG_BITS, Self { stamp: tag >> 1, is_renewal: tag & 1 == 1 })
    }

    /// Returns whether the upload has not been renewed since this grant.
    pub(crate) fn is_current(self, upload: &Upload) -> bool {
        self.stamp == stamp(upload)
    }

    /// Returns the id in the storage of this writer's block.
    pub(crate) fn block_id(self, id: Cow<'_, str>) -> String {
        if self.is_renewal { format!("{:x}.{id}", self.stamp) } else { id.into_owned() }
    }

    /// The inverse of [`Self::block_id`]; `None` for a block of another writer.
    pub(crate) fn own_id(self, block_id: &str) -> Option<&str> {
        if !self.is_renewal {
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
