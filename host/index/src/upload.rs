//! Uploads: slots that are reserved and not finalized yet.

use larder_storage::{ObjectName, UploadName};

use crate::{Entry, IndexError, Slot, Trust, error::unavailable};

/// Number of an upload: from 1 to 2^53 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub u64);

/// The content of an upload that is complete but not finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The object with the content.
    pub object: ObjectName,
    /// Length of the content in bytes.
    pub size_bytes: u64,
}

/// A reserved slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Unique in the index.
    pub id: UploadId,
    /// Its name in the storage and in URLs: random, so that nobody can guess it.
    pub name: UploadName,
    /// The slot that it reserves.
    pub slot: Slot,
    /// Fingerprint of the token that reserved it.
    pub owner: String,
    /// How far its saver is trusted. Where a release did not store it, see [`Trust::of`].
    pub trust: Trust,
    /// When it was reserved or last renewed ([`Index::renew`](crate::Index::renew)), in
    /// milliseconds since 1970.
    pub created_ms: u64,
    /// When bytes last arrived for it, in milliseconds since 1970; `created_ms` until the first
    /// bytes.
    pub last_activity_ms: u64,
    /// `None` until [`Index::attach`](crate::Index::attach).
    pub attachment: Option<Attachment>,
}

/// [`MAX_CLOCK_SKEW_MS`] as a literal, for SQL texts.
macro_rules! max_clock_skew_ms {
    () => {
        600_000
    };
}
#[cfg(feature = "sql")]
pub(crate) use max_clock_skew_ms;

/// How far ahead of this server's clock another server's may be, in milliseconds: ten minutes.
///
/// A stored time that is further ahead was written while a clock was wrong. An upload with such a
/// time of activity is idle, and its next activity replaces the time.
pub const MAX_CLOCK_SKEW_MS: u64 = max_clock_skew_ms!();

impl Upload {
    /// Returns whether a new reservation displaces it: its last activity is before `idle_before_ms`
    /// or too far in the future.
    pub(crate) fn is_idle(&self, now_ms: u64, idle_before_ms: u64) -> bool {
        self.last_activity_ms < idle_before_ms
            || self.last_activity_ms > now_ms.saturating_add(MAX_CLOCK_SKEW_MS)
    }
}

/// The outcome of [`Index::reserve`](crate::Index::reserve).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The slot was free and is now reserved.
    Reserved(Upload),
    /// The slot has an entry.
    Entry(Entry),
    /// The slot is reserved by another upload.
    Upload(Upload),
}

/// The outcome of [`Index::attach`](crate::Index::attach).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachOutcome {
    /// Attached. Names the object that was attached before, unless it is the same one.
    Attached(Option<ObjectName>),
    /// The upload no longer exists.
    Gone,
}

/// Makes a name for an upload: 128 random bits in hexadecimal digits.
pub(crate) fn fresh_upload_name() -> Result<UploadName, IndexError> {
    const CONTEXT: &str = "generating the name of an upload";
    let mut random = [0; 16];
    // Up to 256 bytes, the kernel never returns fewer than requested.
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| unavailable(CONTEXT, error))?;
    UploadName::parse(hex::encode(random)).map_err(|error| unavailable(CONTEXT, error))
}
