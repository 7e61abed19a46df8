//! What became of entries that were deleted.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use larder_storage::ObjectName;

use crate::{EntryId, Slot, Trust};

/// Longest text of a departed entry that is stored as it is, in bytes. The migrations have the same
/// number.
pub const MAX_DEPARTED_TEXT_BYTES: usize = 255;

/// Bytes of a longer one that are stored before its digest. The migrations have the same number.
const HEAD_BYTES: usize = 200;

/// Of the departed with a prefix, those are found that are among so many latest of the repository.
pub(crate) const MAX_PREFIX_DEPARTED: usize = 1_000;

/// Returns a text as it is stored with a departed entry.
pub(crate) fn clipped(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() <= MAX_DEPARTED_TEXT_BYTES {
        return Cow::Borrowed(text);
    }
    let mut clipped = text[..HEAD_BYTES].to_vec();
    clipped.extend_from_slice(hex::encode(digest(&SHA256, text)).as_bytes());
    Cow::Owned(clipped)
}

/// Longest name of a rule that is stored, in bytes.
const MAX_RULE_BYTES: usize = 200;

/// Why an entry was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Unused for too long.
    Age,
    /// Never used in the time in which it should have been.
    NeverUsed,
    /// Made too long ago, used or not.
    MaxAge,
    /// Others of its kind are newer.
    Superseded,
    /// The server's or the tenant's storage was full.
    Size,
    /// Its repository or scope had as much as it may.
    Quota,
    /// Its content was lost or damaged.
    Stale,
    /// Somebody deleted it.
    Manual,
    /// It was revoked, as what a run, an actor or a ref had saved.
    Revoked,
    /// Its scope was ended: the pull request was closed, or the branch deleted.
    ClosedScope,
    /// A rule of the operator, by its name.
    Rule(String),
}

impl Cause {
    /// Reads a stored text. One that is not known, such as of a newer release, is a rule's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "age" => Self::Age,
            "never-used" => Self::NeverUsed,
            "max-age" => Self::MaxAge,
            "superseded" => Self::Superseded,
            "size" => Self::Size,
            "quota" => Self::Quota,
            "stale" => Self::Stale,
            "manual" => Self::Manual,
            "revoked" => Self::Revoked,
            "closed-scope" => Self::ClosedScope,
            other => Self::Rule(other.strip_prefix("rule:").unwrap_or(other).to_owned()),
        }
    }
}

/// As stored: changing a text needs a migration. Of a rule's name at most 200 bytes.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "age",
            Self::NeverUsed => "never-used",
            Self::MaxAge => "max-age",
            Self::Superseded => "superseded",
            Self::Size => "size",
            Self::Quota => "quota",
            Self::Stale => "stale",
            Self::Manual => "manual",
            Self::Revoked => "revoked",
            Self::ClosedScope => "closed-scope",
            Self::Rule(name) => {
                let end = name.floor_char_boundary(MAX_RULE_BYTES);
                return write!(f, "rule:{}", &name[..end]);
            }
        })
    }
}

/// Why and when an entry is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Why.
    pub cause: Cause,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// An entry that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The number that it had.
    pub entry: EntryId,
    /// Where it was. Of a text that is longer than [`MAX_DEPARTED_TEXT_BYTES`] the first 200 bytes, and
    /// the SHA-256 of all of it in hexadecimal digits.
    pub slot: Slot,
    /// The object with its content, until [`Index::left_objects`](crate::Index::left_objects) is told that
    /// it was removed from the storage.
    pub object: Option<ObjectName>,
    /// Length of its content in bytes.
    pub size_bytes: u64,
    /// When it was finalized, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last used, in milliseconds since 1970; `created_ms` if never.
    pub last_used_ms: u64,
    /// How often it was used. `None` if that was not counted.
    pub uses: Option<u64>,
    /// How far its saver was trusted. `None` if that was not stored.
    pub trust: Option<Trust>,
    /// Why and when it was deleted.
    pub departure: Departure,
}
