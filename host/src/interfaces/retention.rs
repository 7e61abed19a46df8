//! `larder:cache/retention`: what the sweep tells the component and what it makes of the answer.

use super::bindings::exports::larder::cache::retention as wit;
use crate::{
    index::{Entry, EntryId, Upload, UploadId},
    retention::{Candidate, ContentState, Witnesses},
};

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

/// Of the given entries those that the component named, each once.
pub(crate) fn chosen_entries<'a>(given: impl Iterator<Item = &'a Entry>, named: &[u64]) -> Vec<EntryId> {
    given.map(|entry| entry.id).filter(|id| named.contains(&id.0)).collect()
}

/// Of the given uploads those that the component named, each once.
pub(crate) fn chosen_uploads(given: &[Upload], named: &[u64]) -> Vec<UploadId> {
    given.iter().map(|u| u.id).filter(|id| named.contains(&id.0)).collect()
}
