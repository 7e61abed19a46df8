//! Content that lies in pieces within one file.
//!
//! Blocks that did not come in the order of their list, were sent twice or were left out make a *segmented* object: the
//! file as it was written, and behind it a trailer that says which pieces of it, in which order, are the content:
//!
//! ```text
//! pieces   offset u64, length u64     each
//! footer   magic [8], content's length u64, number of pieces u32, crc32c of the pieces u32, crc32c of the footer u32
//! ```
//!
//! All numbers are little-endian. A file that was cut off has no footer at its end and is no object.

use std::{fs::File, io, ops::Range};

use super::kernel::{How, read_exact_at};
use crate::storage::MAX_BLOCKS;

const MAGIC: [u8; 8] = *b"LARDSEG1";
const FOOTER_BYTES: usize = 28;
const EXTENT_BYTES: usize = 16;

/// A piece of a file.
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

/// Returns where in the file the bytes `range` of the content are.
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

/// Returns the trailer for content of these extents.
pub(super) fn trailer(extents: &[Extent], size_bytes: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(extents.len() * EXTENT_BYTES + FOOTER_BYTES);
    for extent in extents {
        bytes.extend_from_slice(&extent.offset.to_le_bytes());
        bytes.extend_from_slice(&extent.length.to_le_bytes());
    }
    let pieces_crc = crc32c::crc32c(&bytes);
    let footer_at = bytes.len();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&size_bytes.to_le_bytes());
    // At most `MAX_BLOCKS`.
    bytes.extend_from_slice(&u32::try_from(extents.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&pieces_crc.to_le_bytes());
    let footer_crc = crc32c::crc32c(&bytes[footer_at..]);
    bytes.extend_from_slice(&footer_crc.to_le_bytes());
    bytes
}

/// What the end of a segmented file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) size_bytes: u64,
    pieces: usize,
    pieces_crc: u32,
    pieces_at: u64,
}

impl Footer {
    /// Reads the footer of a file of `file_bytes`; `None` where there is no good one.
    pub(super) fn read(file: &File, file_bytes: u64, how: How) -> io::Result<Option<Self>> {
        let Some(footer_at) = file_bytes.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
        let mut bytes = [0; FOOTER_BYTES];
        read_exact_at(file, &mut bytes, footer_at, how)?;
        Ok(Self::parse(&bytes, footer_at))
    }

    fn parse(bytes: &[u8; FOOTER_BYTES], footer_at: u64) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (magic, body) = body.split_first_chunk::<8>()?;
        if *magic != MAGIC || u32::from_le_bytes(*crc) != crc32c::crc32c(&bytes[..FOOTER_BYTES - 4]) {
            return None;
        }
        let (size_bytes, body) = body.split_first_chunk::<8>()?;
        let (pieces, body) = body.split_first_chunk::<4>()?;
        let pieces_crc = body.first_chunk::<4>()?;
        let pieces = u32::from_le_bytes(*pieces) as usize;
        if pieces > MAX_BLOCKS {
            return None;
        }
        Some(Self {
            size_bytes: u64::from_le_bytes(*size_bytes),
            pieces,
            pieces_crc: u32::from_le_bytes(*pieces_crc),
            pieces_at: footer_at.checked_sub((pieces * EXTENT_BYTES) as u64)?,
        })
    }

    /// Reads the pieces; `None` where they are not good.
    pub(super) fn extents(&self, file: &File, how: How) -> io::Result<Option<Vec<Extent>>> {
        let mut bytes = vec![0; self.pieces * EXTENT_BYTES];
        read_exact_at(file, &mut bytes, self.pieces_at, how)?;
        if crc32c::crc32c(&bytes) != self.pieces_crc {
            return Ok(None);
        }
        let extents: Vec<Extent> = bytes.chunks_exact(EXTENT_BYTES).filter_map(parse_extent).collect();
        Ok(self.agrees_with(&extents).then_some(extents))
    }

    fn agrees_with(&self, extents: &[Extent]) -> bool {
        let total = extents.iter().try_fold(0_u64, |sum, extent| sum.checked_add(extent.length));
        total == Some(self.size_bytes) && extents.iter().all(|extent| extent.end() <= self.pieces_at)
    }
}

fn parse_extent(bytes: &[u8]) -> Option<Extent> {
    let (offset, rest) = bytes.split_first_chunk::<8>()?;
    let length = rest.first_chunk::<8>()?;
    Some(Extent { offset: u64::from_le_bytes(*offset), length: u64::from_le_bytes(*length) })
}
