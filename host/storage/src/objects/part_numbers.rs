//! Which numbers the parts of a multipart get.
//!
//! The order of an object's bytes comes from the block list alone. But where the numbers of the parts agree with the list,
//! the finished multipart *is* the object, and nothing has to be rearranged. So numbers are given in the order of arrival,
//! and where a well-known client says in a block's id which one it is, the place for it is kept free: `@actions/cache`
//! sends blocks of 64 MiB, eight at a time, in any order.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{BlockId, MAX_BLOCKS};

/// Numbers kept for each block of which the place is known: two attempts of eight parts each.
pub(super) const NUMBERS_PER_BLOCK: u32 = 16;

const UUID_BYTES: usize = 36;
const INDEX_BYTES: usize = 12;

/// Returns which block of its object this is, as far as its id tells; counted from 0. The ids of `@actions/cache` are the
/// base64 of a UUID as text and twelve digits.
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

/// The numbers of one multipart that are taken.
#[derive(Debug)]
pub(super) struct PartNumbers {
    taken: BTreeSet<u32>,
    max: u32,
}

impl PartNumbers {
    pub(super) fn new(max: u32) -> Self {
        Self { taken: BTreeSet::new(), max }
    }

    /// Takes so many numbers behind all that are taken.
    pub(super) fn take_next(&mut self, count: u32) -> Option<Vec<u32>> {
        let first = self.taken.last().map_or(1, |last| last + 1);
        self.take_free(first, self.max, count)
    }

    /// Takes so many numbers, one behind the other, from those that are kept for a block; none where they are used up.
    /// `place`: which block of this multipart it is.
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

    /// Gives numbers back.
    pub(super) fn release(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.taken.remove(number);
        }
    }
}

/// Returns in how many blocks, of which the place is known, a multipart is full.
pub(super) fn blocks_per_multipart(max_number: u32) -> u32 {
    (max_number / NUMBERS_PER_BLOCK).max(1)
}
