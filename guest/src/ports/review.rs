//! The input of a review (`retention`).

use super::Entry;

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

/// An entry that may be deleted (`retention.candidate`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Candidate {
    pub entry: Entry,
    pub content: ContentState,
}

/// Entries that may keep candidates alive (`retention.roots`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Roots of the candidates' repositories.
    pub entries: Vec<Entry>,
    /// Whether `entries` is complete.
    pub complete: bool,
}
