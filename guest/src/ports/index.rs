//! Entries, uploads and slots (`index`).

use super::Stored;

/// Why a call of the index failed (`index.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// A retry may succeed. The text is the cause.
    Unavailable(String),
    /// The disk of the database is full.
    NoSpace,
}

/// The identity of an entry (`index.slot`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Slot {
    pub repository: String,
    pub scope: String,
    pub version: String,
    pub key: String,
}

/// A finished cache entry (`index.entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Entry {
    /// Increases with each new entry.
    pub id: u64,
    pub slot: Slot,
    pub object: String,
    pub size_bytes: u64,
    /// When it was finalized, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last used, or created.
    pub last_used_ms: u64,
    /// The fingerprint of the token that reserved it; `None` for entries of older releases.
    pub owner: Option<String>,
}

/// An object attached to an upload that is not finalized yet. The same two values as [`Stored`].
pub type Attachment = Stored;

/// A reserved slot: an entry in the making (`index.upload`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Upload {
    pub id: u64,
    /// Its name in storage and in URLs.
    pub name: String,
    pub slot: Slot,
    /// The fingerprint of the token that reserved it.
    pub owner: String,
    /// When it was reserved, or last renewed, in milliseconds since 1970.
    pub created_ms: u64,
    /// When bytes last arrived, or `created_ms`.
    pub last_activity_ms: u64,
    /// The content, if there is any yet.
    pub attachment: Option<Attachment>,
}

/// How a probe's key is compared (`index.match-kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchKind {
    /// The entry with this key.
    Exact,
    /// The newest entry whose key starts with it.
    Prefix,
}

/// One attempt at a match (`index.probe`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Probe {
    pub scope: String,
    pub key: String,
    pub kind: MatchKind,
}

/// The result of `reserve` (`index.reservation`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The slot was free. It is reserved now.
    Reserved(Upload),
    /// The slot holds an entry.
    Entry(Entry),
    /// The slot holds an upload under way.
    Upload(Upload),
}

/// The result of `attach` (`index.attach-outcome`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachOutcome {
    /// Attached. The object that it replaces, if any.
    Attached(Option<String>),
    /// The upload does not exist (any more).
    Gone,
}
