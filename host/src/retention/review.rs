//! What the guest is shown when it reviews entries.

use crate::index::Entry;

/// What the sweep found when it looked for an entry's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// There, with the entry's size.
    Whole,
    /// Gone, or of another size.
    Broken,
    /// The storage could not say.
    Unknown,
}

/// An entry, and the state of its content.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// Its content.
    pub content: ContentState,
}

/// Entries that the guest chose to see again.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// Of the repositories of the candidates.
    pub entries: Vec<Entry>,
    /// Whether these are all.
    pub complete: bool,
}
