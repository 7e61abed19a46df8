//! Content that lies in pieces: which stretches of the stored bytes, in which order, it is made of.
//!
//! Used by the drivers that write blocks as they come and put only their order right on commit: `fs/` within one file,
//! `objects/` within the data of one or several objects, one behind the other. Knows nothing of either.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// A stretch of what the bytes lie in: a file, or data objects one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Extent {
    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// Joins neighbours and drops what is empty.
pub(super) fn merge(extents: impl IntoIterator<Item = Extent>) -> Vec<Extent> {
    let mut merged: Vec<Extent> = Vec::new();
    for extent in extents.into_iter().filter(|extent| extent.length > 0) {
        match merged.last_mut() {
            Some(last) if last.end() == extent.offset => last.length += extent.length,
            _ => merged.push(extent),
        }
    }
    merged
}

/// Returns what of `0..end` no extent covers.
pub(super) fn gaps(extents: &[Extent], end: u64) -> Vec<Extent> {
    let mut sorted = extents.to_vec();
    sorted.sort_unstable_by_key(|extent| extent.offset);
    sorted.push(Extent { offset: end, length: 0 });
    let mut gaps = Vec::new();
    let mut covered = 0;
    for extent in sorted {
        if extent.offset > covered {
            gaps.push(Extent { offset: covered, length: extent.offset - covered });
        }
        covered = covered.max(extent.end());
    }
    gaps
}

/// Returns where the bytes `range` of the content are.
pub(super) fn slice(extents: &[Extent], range: &Range<u64>) -> Vec<Extent> {
    let mut starts = Vec::with_capacity(extents.len());
    let mut start = 0;
    for extent in extents {
        starts.push(start);
        start += extent.length;
    }
    let first = starts.partition_point(|start| *start <= range.start).saturating_sub(1);
    let mut pieces = Vec::new();
    for (extent, start) in
        extents[first..].iter().zip(&starts[first..]).take_while(|(_, start)| **start < range.end)
    {
        let from = range.start.saturating_sub(*start);
        let until = (range.end - start).min(extent.length);
        if from < until {
            pieces.push(Extent { offset: extent.offset + from, length: until - from });
        }
    }
    pieces
}
