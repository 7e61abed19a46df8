//! The input of a review of entries.

use larder_index::Entry;

/// The state of an entry's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentState {
    /// Present, with the size of the entry.
    Intact,
    /// Missing, or of another size.
    Broken,
    /// The storage did not answer.
    Unknown,
}

/// An entry that may be deleted.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// The state of its content.
    pub content: ContentState,
}

/// Entries that may keep candidates alive.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    /// Roots of the candidates' repositories.
    pub entries: Vec<Entry>,
    /// Whether `entries` is complete: the host holds a limited number of roots.
    pub complete: bool,
}
