//! SHA-256 of what is stored, computed while it arrives.
//!
//! Blocks are staged in any order, several at once and by several processes, so nobody sees the bytes of
//! an object in their order before they are read back. So each body has a digest of its own, which a
//! driver keeps with the block, and an object of several blocks has the digest of their list.

mod recorder;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

pub(crate) use self::recorder::{DigestRecorder, Recording};

/// A SHA-256.
pub type Sha256 = [u8; 32];

/// Most runs of blocks of one length in [`Digest::Blocks`]. Clients send blocks of one length and a
/// shorter last one: two runs. Bounds the text of a digest to some 8 KiB.
pub const MAX_RUNS: usize = 256;

/// Longest text of a digest, in bytes.
pub const MAX_DIGEST_TEXT_BYTES: usize = 128 + MAX_RUNS * 32;

const WHOLE: &str = "sha256:";
const BLOCKS: &str = "sha256-blocks:";

/// What is known of the bytes of an object. Its text says which kind it is:
///
/// - `sha256:<hex>`: of all bytes.
/// - `sha256-blocks:<hex>:<length>x<count>,…`: of the list of its blocks, and their lengths in the order of
///   the bytes. The list has for each block its length (u64, little-endian) and its own SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// Of all bytes.
    Whole(Sha256),
    /// Of several blocks.
    Blocks {
        /// Of the list.
        list: Sha256,
        /// How many blocks of one length follow each other. None is empty.
        runs: Vec<(u64, u32)>,
    },
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest")]
pub struct InvalidDigest;

impl Digest {
    /// Returns the digest of an object that is these blocks, in this order: length and SHA-256 of each.
    /// `None` if the SHA-256 of one is not known, or if there are more than [`MAX_RUNS`] runs of lengths.
    #[must_use]
    pub fn of_blocks(blocks: impl IntoIterator<Item = (u64, Option<Sha256>)>) -> Option<Self> {
        let (mut list, mut runs, mut first) = (BlockList::new(), Vec::<(u64, u32)>::new(), None);
        for (length, sha256) in blocks.into_iter().filter(|(length, _)| *length > 0) {
            let sha256 = sha256?;
            list.add(length, &sha256);
            first.get_or_insert(sha256);
            let is_as_long = runs.last().is_some_and(|(last, _)| *last == length);
            match runs.last_mut().filter(|_| is_as_long) {
                Some((_, count)) => *count = count.checked_add(1)?,
                None => runs.push((length, 1)),
            }
            if runs.len() > MAX_RUNS {
                return None;
            }
        }
        Some(match (first, &runs[..]) {
            (None, _) => Self::Whole(sha256(&[])),
            // The same bytes have the same digest, however they were sent.
            (Some(only), [(_, 1)]) => Self::Whole(only),
            _ => Self::Blocks { list: list.finish(), runs },
        })
    }

    /// Reads the text of a digest.
    ///
    /// # Errors
    /// If it is none, or has more than [`MAX_RUNS`] runs.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        if let Some(hex) = text.strip_prefix(WHOLE) {
            return Ok(Self::Whole(parse_sha256(hex)?));
        }
        let (hex, runs) =
            text.strip_prefix(BLOCKS).and_then(|rest| rest.split_once(':')).ok_or(InvalidDigest)?;
        let runs = runs.split(',').take(MAX_RUNS + 1).map(parse_run).collect::<Result<Vec<_>, _>>()?;
        if runs.len() > MAX_RUNS {
            return Err(InvalidDigest);
        }
        Ok(Self::Blocks { list: parse_sha256(hex)?, runs })
    }
}

fn parse_sha256(text: &str) -> Result<Sha256, InvalidDigest> {
    let mut bytes = Sha256::default();
    hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidDigest)?;
    Ok(bytes)
}

fn parse_run(text: &str) -> Result<(u64, u32), InvalidDigest> {
    let (length, count) = text.split_once('x').ok_or(InvalidDigest)?;
    match (length.parse(), count.parse()) {
        (Ok(length), Ok(count)) if length > 0 && count > 0 => Ok((length, count)),
        _ => Err(InvalidDigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(sha256) => write!(f, "{WHOLE}{}", hex::encode(sha256)),
            Self::Blocks { list, runs } => {
                write!(f, "{BLOCKS}{}:", hex::encode(list))?;
                for (number, (length, count)) in runs.iter().enumerate() {
                    write!(f, "{}{length}x{count}", if number > 0 { "," } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// Returns the SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finish(context)
}

fn finish(context: Context) -> Sha256 {
    let mut bytes = Sha256::default();
    // Both have 32 bytes.
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// The list of an object's blocks, as it is hashed.
struct BlockList(Context);

impl BlockList {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn add(&mut self, length: u64, sha256: &Sha256) {
        self.0.update(&length.to_le_bytes());
        self.0.update(sha256);
    }

    fn finish(self) -> Sha256 {
        finish(self.0)
    }
}

/// Computes a SHA-256 of bytes as they come, and counts them.
#[derive(Clone)]
pub struct Hasher {
    context: Context,
    length: u64,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), length: 0 }
    }
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Returns the SHA-256 of what was taken; `None` if that was not `length` bytes.
    #[must_use]
    pub fn finish(&self, length: u64) -> Option<Sha256> {
        (self.length == length).then(|| finish(self.context.clone()))
    }
}

/// Returns the SHA-256 of a body of this length that was received, if it was asked to be recorded.
pub(crate) async fn recorded(recorder: Option<&DigestRecorder>, length: u64) -> Option<Sha256> {
    recorder?.finish(length).await
}

/// Compares an object that is read, from its first byte to its last, with its digest. Needs memory for
/// the runs of its blocks only.
pub struct Verifier(Check);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

enum Check {
    Whole { context: Context, expected: Sha256 },
    Blocks(Box<BlockCheck>),
}

struct BlockCheck {
    list: BlockList,
    expected: Sha256,
    /// The runs that are left, the next one last.
    runs: Vec<(u64, u32)>,
    context: Context,
    /// What is left of the block that is being read.
    left: u64,
    is_longer: bool,
}

impl Verifier {
    /// Begins to compare.
    #[must_use]
    pub fn new(expected: &Digest) -> Self {
        Self(match expected {
            Digest::Whole(expected) => Check::Whole { context: Context::new(&SHA256), expected: *expected },
            Digest::Blocks { list, runs } => {
                let mut runs = runs.clone();
                runs.reverse();
                let left = runs.last().map_or(0, |(length, _)| *length);
                let (expected, context) = (*list, Context::new(&SHA256));
                let list = BlockList::new();
                Check::Blocks(Box::new(BlockCheck { list, expected, runs, context, left, is_longer: false }))
            }
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Check::Whole { context, .. } => context.update(bytes),
            Check::Blocks(blocks) => blocks.update(bytes),
        }
    }

    /// Returns whether all that was taken is what the digest is of.
    #[must_use]
    pub fn is_right(self) -> bool {
        match self.0 {
            Check::Whole { context, expected } => finish(context) == expected,
            Check::Blocks(blocks) => {
                blocks.runs.is_empty() && !blocks.is_longer && blocks.list.finish() == blocks.expected
            }
        }
    }
}

impl BlockCheck {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.is_longer = true;
                return;
            }
            let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (taken, rest) = bytes.split_at(now);
            self.context.update(taken);
            self.left -= taken.len() as u64;
            bytes = rest;
            if self.left == 0 {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let Some((length, count)) = self.runs.last_mut() else { return };
        let context = std::mem::replace(&mut self.context, Context::new(&SHA256));
        self.list.add(*length, &finish(context));
        *count -= 1;
        if *count == 0 {
            self.runs.pop();
        }
        self.left = self.runs.last().map_or(0, |(length, _)| *length);
    }
}

/// Returns whether this machine's CPU has instructions for SHA-256. Without them it costs several times as
/// much.
#[must_use]
pub fn has_sha256_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("sha")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("sha2")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}
