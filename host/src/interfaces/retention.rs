//! `larder:cache/retention`: what the sweep tells the component and what it makes of the answer.

use super::bindings::exports::larder::cache::retention as wit;
use crate::{
    index::{Entry, EntryId, Upload, UploadId},
    retention::{Candidate, ContentState, Roots},
};

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

/// Of the given entries those that the component named, each once.
pub(crate) fn chosen_entries<'a>(given: impl Iterator<Item = &'a Entry>, named: &[u64]) -> Vec<EntryId> {
    given.map(|entry| entry.id).filter(|id| named.contains(&id.0)).collect()
}

/// Of the given uploads those that the component named, each once.
pub(crate) fn chosen_uploads(given: &[Upload], named: &[u64]) -> Vec<UploadId> {
    given.iter().map(|u| u.id).filter(|id| named.contains(&id.0)).collect()
}
