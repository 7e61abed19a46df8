//! `larder:cache/retention`: converts the input of a review, and filters its result.

use larder_index::{Entry, EntryId, Upload, UploadId};

use super::bindings::exports::larder::cache::retention as wit;
use crate::retention::{Candidate, ContentState, Roots};

impl From<&Roots> for wit::Roots {
    fn from(roots: &Roots) -> Self {
        Self { entries: roots.entries.iter().map(Into::into).collect(), complete: roots.complete }
    }
}

impl From<&Candidate> for wit::Candidate {
    fn from(candidate: &Candidate) -> Self {
        let content = match candidate.content {
            ContentState::Intact => wit::ContentState::Intact,
            ContentState::Broken => wit::ContentState::Broken,
            ContentState::Unknown => wit::ContentState::Unknown,
        };
        Self { entry: (&candidate.entry).into(), content }
    }
}

/// Returns the given entries that the component selected, each once.
pub(crate) fn selected_entries<'a>(given: impl Iterator<Item = &'a Entry>, selected: &[u64]) -> Vec<EntryId> {
    given.map(|entry| entry.id).filter(|id| selected.contains(&id.0)).collect()
}

/// Returns the given uploads that the component selected, each once.
pub(crate) fn selected_uploads(given: &[Upload], selected: &[u64]) -> Vec<UploadId> {
    given.iter().map(|u| u.id).filter(|id| selected.contains(&id.0)).collect()
}
