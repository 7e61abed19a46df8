//! The question and the answer of `explain`.

use super::{Cause, Entry, MatchKind, MissCause, Scope, Slot};

/// A lookup (`explain.query`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Whose entries.
    pub repository: String,
    /// As in a token, in the order of matching.
    pub scopes: Vec<Scope>,
    /// `None`: that of the newest entry with the first key that is known, or was.
    pub version: Option<String>,
    /// The key, then the restore keys.
    pub keys: Vec<String>,
}

/// What an attempt at a match found (`explain.finding`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No entry.
    Nothing,
    /// An entry that a client would get.
    Match(Entry),
    /// An entry whose content is gone.
    Stale(Entry),
    /// An entry that is too old to be served.
    Expired(Entry),
    /// An entry that a rule does not let the lookup have.
    Skipped(Entry),
}

/// An attempt at a match (`explain.attempt`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Attempt {
    pub scope: String,
    pub key: String,
    pub kind: MatchKind,
    pub finding: Finding,
}

/// A deletion (`explain.departure`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Departure {
    pub at_ms: u64,
    pub cause: Cause,
}

/// Something near a key that is no match (`explain.neighbour`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Why it is no match.
    pub cause: MissCause,
    /// Where it is, or was.
    pub slot: Slot,
    /// `None` for an upload, and for an entry that is gone.
    pub entry: Option<u64>,
    /// `None` for an upload.
    pub size_bytes: Option<u64>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When and why it was deleted.
    pub departed: Option<Departure>,
}

/// What a lookup did (`explain.explanation`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The version that was looked up, if one is known.
    pub version: Option<String>,
    /// In the order of matching, up to the match.
    pub attempts: Vec<Attempt>,
    /// What came near, the nearest first.
    pub near: Vec<Neighbour>,
    /// Why there is no match.
    pub cause: Option<MissCause>,
}
