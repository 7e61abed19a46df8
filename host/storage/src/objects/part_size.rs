//! How large parts are.

use crate::bucket::PartLimits;

/// Smallest part, whatever the service allows: smaller blocks are gathered first. The limit of S3.
pub(super) const MIN_PART_BYTES: u64 = 5 << 20;

/// What a part should have. Clients' blocks of 64 MiB become eight parts.
pub(super) const PART_BYTES: u64 = 8 << 20;

/// Of the parts of an object without a known length, the first fifth has the usual size, the next twice that, and so on.
const STEPS: u32 = 5;

/// Sizes and numbers of parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartSizes {
    /// Smallest part, but for the last of an object.
    pub(super) min_part: u64,
    /// What a part should have; at least `min_part`.
    pub(super) part: u64,
    /// Largest number of a part.
    pub(super) max_number: u32,
}

impl PartSizes {
    pub(super) fn new(limits: PartLimits, min_part: u64, part: u64) -> Self {
        let min_part = limits.min_bytes.max(min_part).max(1);
        Self { min_part, part: part.max(min_part), max_number: limits.max_number }
    }

    /// Returns lengths for the parts of so many bytes: even ones, each at least `min_part` where there are two or more, and
    /// mostly less than twice that or at most `part`; larger where there would be too many. `is_low`: as small as they
    /// may be.
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

    /// Returns lengths for the parts of a whole object: all but the last of one size, which lets them all fit.
    pub(super) fn split_whole(&self, length: u64) -> Vec<u64> {
        let each = self.part.max(length.div_ceil(u64::from(self.max_number)));
        let full = usize::try_from(length / each).unwrap_or(usize::MAX);
        let mut lengths = vec![each; full];
        lengths.extend(Some(length % each).filter(|rest| *rest > 0));
        lengths
    }

    /// Returns how large the next part of a whole object of unknown length is, after so many.
    pub(super) fn next_of_whole(&self, parts: usize) -> u64 {
        let step = (self.max_number / STEPS).max(1) as usize;
        self.part << (parts / step).min(STEPS as usize - 1)
    }

    /// Returns how much of a body without a length is read before it is decided what becomes of it.
    pub(super) fn read_ahead(&self) -> u64 {
        self.part + self.min_part
    }
}
