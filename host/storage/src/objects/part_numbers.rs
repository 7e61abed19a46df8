//! The numbers of the parts of a multipart upload.
//!
//! The block list alone decides the order of an object's bytes. But if the numbers of the parts are
//! in that order, the completed multipart upload is the object, without a manifest. So numbers are
//! taken in the order of arrival. The ids of `@actions/cache`, which sends eight blocks of 64 MiB
//! at a time in any order, contain the block's index: numbers are reserved for it.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{BlockId, MAX_BLOCKS};

/// Numbers reserved for each block whose index is known: two attempts of eight parts.
pub(super) const NUMBERS_PER_BLOCK: u32 = 16;

const UUID_BYTES: usize = 36;
const INDEX_BYTES: usize = 12;

/// Returns the index of a block in its object, counted from 0, if its id contains it. The ids of
/// `@actions/cache` are the base64 of a UUID as text and the index in twelve digits.
pub(super) fn index_of(id: &BlockId) -> Option<u32> {
    let text = BASE64_STANDARD.decode(id.as_str()).ok()?;
    let (uuid, digits) = text.split_at_checked(UUID_BYTES)?;
    let is_uuid = uuid.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    if !is_uuid || digits.len() != INDEX_BYTES || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let index: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (index < u32::try_from(MAX_BLOCKS).unwrap_or(u32::MAX)).then_some(index)
}

/// The part numbers of one multipart upload.
#[derive(Debug)]
pub(super) struct PartNumbers {
    taken: BTreeSet<u32>,
    max: u32,
}

impl PartNumbers {
    pub(super) fn new(max: u32) -> Self {
        Self { taken: BTreeSet::new(), max }
    }

    /// Takes `count` numbers above all that are taken; `None` where too few are left.
    pub(super) fn take_next(&mut self, count: u32) -> Option<Vec<u32>> {
        let first = self.taken.last().map_or(1, |last| last + 1);
        self.take_free(first, self.max, count)
    }

    /// Takes `count` consecutive numbers of those reserved for a block; `None` where too few are
    /// left. `place`: the index of the block in this multipart upload.
    pub(super) fn take_reserved(&mut self, place: u32, count: u32) -> Option<Vec<u32>> {
        let first = place * NUMBERS_PER_BLOCK + 1;
        self.take_free(first, (first + NUMBERS_PER_BLOCK - 1).min(self.max), count)
    }

    fn take_free(&mut self, first: u32, last: u32, count: u32) -> Option<Vec<u32>> {
        let mut start = first;
        for number in first..=last {
            if self.taken.contains(&number) {
                start = number + 1;
            } else if number + 1 - start == count {
                self.taken.extend(start..=number);
                return Some((start..=number).collect());
            }
        }
        None
    }

    /// Makes numbers available again.
    pub(super) fn release(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.taken.remove(number);
        }
    }
}

/// Number of positioned blocks that fit in one multipart upload.
pub(super) fn blocks_per_multipart(max_number: u32) -> u32 {
    (max_number / NUMBERS_PER_BLOCK).max(1)
}
