//! The format of segmented objects.
//!
//! Blocks that were not received in the order of their list, were sent twice or are not listed make
//! a *segmented* object: the file as it was written, and a trailer with the extents of the content,
//! in order:
//!
//! ```text
//! pieces   offset u64, length u64     each
//! footer   magic [8], content's length u64, number of pieces u32, crc32c of the pieces u32, crc32c of the footer u32
//! ```
//!
//! All numbers are little-endian. A truncated file has no footer at its end and is no object.

use std::{fs::File, io};

use super::sys::{MayBlock, read_exact_at};
use crate::{MAX_BLOCKS, extents::Extent};

const MAGIC: [u8; 8] = *b"LARDSEG1";
const FOOTER_BYTES: usize = 28;
const EXTENT_BYTES: usize = 16;

/// Returns the trailer for a content of these extents.
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

/// The footer of a segmented file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) size_bytes: u64,
    pieces: usize,
    pieces_crc: u32,
    pieces_at: u64,
}

impl Footer {
    /// Reads the footer of a file of `file_bytes`; `None` if there is no valid one.
    pub(super) fn read(file: &File, file_bytes: u64, may_block: MayBlock) -> io::Result<Option<Self>> {
        let Some(footer_at) = file_bytes.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
        let mut bytes = [0; FOOTER_BYTES];
        read_exact_at(file, &mut bytes, footer_at, may_block)?;
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

    /// Reads the extents; `None` if they are invalid.
    pub(super) fn extents(&self, file: &File, may_block: MayBlock) -> io::Result<Option<Vec<Extent>>> {
        let mut bytes = vec![0; self.pieces * EXTENT_BYTES];
        read_exact_at(file, &mut bytes, self.pieces_at, may_block)?;
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
