//! The journal of an upload: its complete blocks, and its object.
//!
//! A journal is a file of records, each appended in one write:
//!
//! ```text
//! crc32c of the rest u32, length of the body u32, kind u8, body
//! ```
//!
//! | kind | body |
//! |---|---|
//! | opened | the id of the boot in which the upload began; always the first record |
//! | block | offset u64, length u64, id |
//! | block with a digest | SHA-256 of the bytes, and the same |
//! | committed | size u64, length of the object's name u8, name, and for each listed id the number u32 of its block record |
//!
//! All numbers are little-endian. Reading ends at the first record that is not whole: the process
//! died there, before it responded. Nothing is flushed to the disk: after a loss of power the boot
//! id differs, and the journal is void.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::layout::ObjectPath;
use crate::{BlockId, MAX_BLOCKS, Sha256, extents::Extent};

const HEADER_BYTES: usize = 9;
const OPENED: u8 = 0;
const BLOCK: u8 = 1;
const COMMITTED: u8 = 2;
const DIGESTED_BLOCK: u8 = 3;

/// Most block records of an upload (Azure's limit of uncommitted blocks). Bounds the memory of an
/// upload.
pub(super) const MAX_RECORDS: usize = 2 * MAX_BLOCKS;

/// Longest journal that Larder writes: all records with the longest ids, and the longest list.
const MAX_JOURNAL_BYTES: u64 =
    (MAX_RECORDS * (HEADER_BYTES + 48 + BlockId::MAX_BYTES) + 4 * MAX_BLOCKS + 1024) as u64;

/// A complete block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockRecord {
    pub(super) id: BlockId,
    pub(super) extent: Extent,
    /// SHA-256 of its bytes. `None` if that was not asked for.
    pub(super) digest: Option<Sha256>,
}

/// The object of a committed upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitRecord {
    pub(super) object: ObjectPath,
    pub(super) size_bytes: u64,
    /// The block list, as numbers of block records.
    pub(super) list: Vec<u32>,
}

/// A journal, as read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// In the order in which they were written; the index is the number of the record.
    pub(super) blocks: Vec<BlockRecord>,
    pub(super) committed: Option<CommitRecord>,
    /// Offset of the next record.
    pub(super) end: u64,
}

/// Returns the first record.
pub(super) fn opened(boot: &str) -> Vec<u8> {
    record(OPENED, boot.as_bytes())
}

/// Returns the record of a block.
pub(super) fn block(id: &BlockId, extent: Extent, digest: Option<&Sha256>) -> Vec<u8> {
    let mut body = Vec::with_capacity(48 + id.as_str().len());
    body.extend(digest.into_iter().flatten());
    body.extend_from_slice(&extent.offset.to_le_bytes());
    body.extend_from_slice(&extent.length.to_le_bytes());
    body.extend_from_slice(id.as_str().as_bytes());
    record(if digest.is_some() { DIGESTED_BLOCK } else { BLOCK }, &body)
}

/// Returns the record of a commit.
pub(super) fn committed(commit: &CommitRecord) -> Vec<u8> {
    let name = commit.object.name();
    let mut body = Vec::with_capacity(9 + name.as_str().len() + 4 * commit.list.len());
    body.extend_from_slice(&commit.size_bytes.to_le_bytes());
    // Names of this driver have at most 51 bytes.
    body.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
    body.extend_from_slice(name.as_str().as_bytes());
    body.extend(commit.list.iter().flat_map(|number| number.to_le_bytes()));
    record(COMMITTED, &body)
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&[0; 4]);
    // Bodies are far shorter than 4 GiB; a wrong length would void the record.
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
    let crc = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a journal of this boot; `None` if there is none.
pub(super) fn read(file: &File, boot: &str) -> io::Result<Option<Journal>> {
    let length = file.metadata()?.len().min(MAX_JOURNAL_BYTES);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(parse(&bytes, boot))
}

/// Parses the whole records of a journal.
pub(super) fn parse(bytes: &[u8], boot: &str) -> Option<Journal> {
    let (first, mut rest) = split(bytes)?;
    if first.kind != OPENED || first.body != boot.as_bytes() {
        return None;
    }
    let mut journal = Journal::default();
    while journal.committed.is_none() {
        let Some((record, after)) = split(rest) else { break };
        if journal.take(&record).is_none() {
            break;
        }
        rest = after;
    }
    journal.end = (bytes.len() - rest.len()) as u64;
    Some(journal)
}

struct JournalRecord<'a> {
    kind: u8,
    body: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<(JournalRecord<'_>, &[u8])> {
    let (crc, rest) = bytes.split_first_chunk::<4>()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    let whole = (u32::from_le_bytes(*length) as usize).checked_add(HEADER_BYTES - 4)?;
    let (checked, after) = rest.split_at_checked(whole)?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (kind, body) = checked[4..].split_first()?;
    Some((JournalRecord { kind: *kind, body }, after))
}

impl Journal {
    fn take(&mut self, record: &JournalRecord<'_>) -> Option<()> {
        match record.kind {
            BLOCK => self.blocks.push(parse_block(record.body, None)?),
            DIGESTED_BLOCK => {
                let (digest, body) = record.body.split_first_chunk::<32>()?;
                self.blocks.push(parse_block(body, Some(*digest))?);
            }
            COMMITTED => self.committed = Some(parse_committed(record.body)?),
            _ => return None,
        }
        Some(())
    }
}

fn parse_block(body: &[u8], digest: Option<Sha256>) -> Option<BlockRecord> {
    let (offset, rest) = body.split_first_chunk::<8>()?;
    let (length, id) = rest.split_first_chunk::<8>()?;
    let extent = Extent { offset: u64::from_le_bytes(*offset), length: u64::from_le_bytes(*length) };
    extent.offset.checked_add(extent.length)?;
    let id = BlockId::parse(std::str::from_utf8(id).ok()?).ok()?;
    Some(BlockRecord { id, extent, digest })
}

fn parse_committed(body: &[u8]) -> Option<CommitRecord> {
    let (size_bytes, rest) = body.split_first_chunk::<8>()?;
    let (name_length, rest) = rest.split_first()?;
    let (name, list) = rest.split_at_checked(usize::from(*name_length))?;
    let object = ObjectPath::parse(std::str::from_utf8(name).ok()?)?;
    let list = list.chunks_exact(4).map(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]])).collect();
    Some(CommitRecord { object, size_bytes: u64::from_le_bytes(*size_bytes), list })
}
