//! `larder:cache/retention`: what the sweep tells the component and what it makes of the answer.

use crate::{
    engine::bindings::exports::larder::cache::retention as wit,
    index::{Entry, EntryId, Upload, UploadId},
};

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

/// Entries that the component chose to see again.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// Of the repositories of the candidates.
    pub entries: Vec<Entry>,
    /// Whether these are all.
    pub complete: bool,
}

impl From<&Witnesses> for wit::Witnesses {
    fn from(witnesses: &Witnesses) -> Self {
        Self { entries: witnesses.entries.iter().map(Into::into).collect(), complete: witnesses.complete }
    }
}

impl From<&Candidate> for wit::Candidate {
    fn from(candidate: &Candidate) -> Self {
        let content = match candidate.content {
            ContentState::Whole => wit::Content::Whole,
            ContentState::Broken => wit::Content::Broken,
            ContentState::Unknown => wit::Content::Unknown,
        };
        Self { entry: (&candidate.entry).into(), content }
    }
}

/// The given ids that the component named, each once.
pub(crate) fn chosen_entries<'a>(given: impl Iterator<Item = &'a Entry>, named: &[u64]) -> Vec<EntryId> {
    given.map(|entry| entry.id).filter(|id| named.contains(&id.0)).collect()
}

/// The given ids that the component named, each once.
pub(crate) fn chosen_uploads(given: &[Upload], named: &[u64]) -> Vec<UploadId> {
    given.iter().map(|u| u.id).filter(|id| named.contains(&id.0)).collect()
}
