//! What a sweep tells the policy (`retention`).

use super::Entry;

/// What the host found of an entry's object (`retention.content-state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// There, with the size of the entry.
    Intact,
    /// Gone, or of another size.
    Broken,
    /// The storage could not say.
    Unknown,
}

/// An entry, and the state of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// What is left of its content.
    pub content: ContentState,
}

/// Entries that the policy chose to see again (`retention.roots`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Of the repositories of the candidates.
    pub entries: Vec<Entry>,
    /// Whether these are all.
    pub complete: bool,
}
