//! The input of a review (`retention`).

use super::{Cause, Entry, Facts, Trust};

/// The state of an entry's object (`retention.content-state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// Present, with the size of the entry.
    Intact,
    /// Missing, or of another size.
    Broken,
    /// The storage did not answer.
    Unknown,
}

/// What a rule of the operator wants of an entry (`retention.wish`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It stays.
    Keep,
    /// It is deleted, by the rule of this name.
    Remove(String),
}

/// An entry that may be deleted (`retention.candidate`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Candidate {
    pub entry: Entry,
    pub details: EntryDetails,
    pub content: ContentState,
    /// How many newer entries are in its group; `None` if it is in none, or was not counted.
    pub newer: Option<u32>,
    /// What the operator's rules want.
    pub wish: Option<Wish>,
}

/// What is stored of an entry beside what a lookup needs (`retention.entry-details`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryDetails {
    /// Those of the token that reserved it; `None` for entries of older releases.
    pub facts: Option<Facts>,
    /// How often it was used; `None` for entries of older releases.
    pub uses: Option<u64>,
    /// How far it is trusted.
    pub trust: Trust,
}

/// An entry of a group (`retention.group-member`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The entry.
    pub id: u64,
    /// Its group.
    pub group: String,
}

/// What a review needs to know of entries (`retention.selection`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Entries that are needed to decide about others.
    pub roots: Vec<u64>,
    /// Entries of which the newer ones are counted.
    pub groups: Vec<GroupMember>,
}

/// An entry to delete (`retention.verdict`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The entry.
    pub id: u64,
    /// Why it is deleted.
    pub cause: Cause,
}

/// Entries that may keep candidates alive (`retention.roots`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Roots of the candidates' repositories.
    pub entries: Vec<Entry>,
    /// Whether `entries` is complete.
    pub complete: bool,
}
