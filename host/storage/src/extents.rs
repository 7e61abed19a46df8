//! Extents: the ranges of stored bytes, in order, that make up a content.
//!
//! Used by drivers that store blocks in the order of arrival: `fs/` within one file, `objects/`
//! within one or several data objects, concatenated.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// A range of a file, or of concatenated data objects.
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

/// Merges adjacent extents and drops empty ones.
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

/// Returns the ranges of `0..end` that no extent covers.
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

/// Returns the extents of the bytes `range` of the content.
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
