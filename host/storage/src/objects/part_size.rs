//! The sizes of parts.

use crate::bucket::PartLimits;

/// Smallest part, even where the service allows smaller ones: smaller blocks are coalesced. The
/// limit of S3.
pub(super) const MIN_PART_BYTES: u64 = 5 << 20;

/// Usual size of a part. A client's block of 64 MiB becomes eight parts.
pub(super) const PART_BYTES: u64 = 8 << 20;

/// Of an object of unknown length the first fifth of the part numbers has the usual size, the next
/// fifth twice that, and so on.
const STEPS: u32 = 5;

/// The sizes of parts, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartSizes {
    /// Smallest part, except for the last of an object.
    pub(super) min_part: u64,
    /// Usual size; at least `min_part`.
    pub(super) part: u64,
    /// Largest part number.
    pub(super) max_number: u32,
}

impl PartSizes {
    pub(super) fn new(limits: PartLimits, min_part: u64, part: u64) -> Self {
        let min_part = limits.min_bytes.max(min_part).max(1);
        Self { min_part, part: part.max(min_part), max_number: limits.max_number }
    }

    /// Splits `length` bytes into parts of even sizes: at least `min_part` where there are two or
    /// more, and usually less than twice that or at most `part`. They are larger where they would
    /// need more than half of the numbers. `is_low`: memory is low, so the parts are as small as
    /// possible.
    pub(super) fn split(&self, length: u64, is_low: bool) -> Vec<u64> {
        if length == 0 {
            return Vec::new();
        }
        let most = length / self.min_part;
        let most = most.min(u64::from(self.max_number / 2));
        let count = if is_low { most } else { length.div_ceil(self.part).min(most) }.max(1);
        let (each, more) = (length / count, length % count);
        (0..count).map(|number| each + u64::from(number < more)).collect()
    }

    /// Splits a whole object of `length` bytes: all parts but the last have one size, large enough
    /// for the numbers to suffice.
    pub(super) fn split_whole(&self, length: u64) -> Vec<u64> {
        let each = self.part.max(length.div_ceil(u64::from(self.max_number)));
        let full = usize::try_from(length / each).unwrap_or(usize::MAX);
        let mut lengths = vec![each; full];
        lengths.extend(Some(length % each).filter(|rest| *rest > 0));
        lengths
    }

    /// Size of the next part of an object of unknown length, after `parts` parts.
    pub(super) fn next_of_whole(&self, parts: usize) -> u64 {
        let step = (self.max_number / STEPS).max(1) as usize;
        self.part << (parts / step).min(STEPS as usize - 1)
    }

    /// Bytes that are read of a body without an announced length before its parts are planned.
    pub(super) fn read_ahead(&self) -> u64 {
        self.part + self.min_part
    }
}
