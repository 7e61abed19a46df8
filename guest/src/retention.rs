//! What is kept: the component's judgement of what the host's sweep lists.
//!
//! Called by `bindings` for the export `retention`. Pure: looks at what it is given, and at nothing else.

use crate::ports::{Candidate, Content, Settings, Upload};

/// The least time after which an upload without activity is given up, in milliseconds: an hour. A client that backs off may
/// pause for a quarter of one (azcore: ten tries, up to 120 s apart). Until then an idle upload yields to whoever reserves
/// its slot, so that waiting costs disk space only.
pub const ABANDONED_AFTER_MS: u64 = 60 * 60 * 1000;

/// Returns the ids of the entries to delete: those whose content is broken, and those not used (or, never used, made) for
/// longer than the operator keeps them. An entry that the storage cannot speak for is judged by its age alone.
pub fn review_entries(
    settings: &Settings,
    now_ms: u64,
    candidates: impl IntoIterator<Item = Candidate>,
) -> Vec<u64> {
    let doomed = |candidate: &Candidate| match candidate.content {
        Content::Broken => true,
        Content::Whole | Content::Unknown => is_unused(settings, now_ms, candidate),
    };
    candidates.into_iter().filter(doomed).map(|candidate| candidate.entry.id).collect()
}

/// Returns the ids of the uploads to abandon: those to which no byte came for [`ABANDONED_AFTER_MS`], or for the time after
/// which they yield to others if that is longer.
pub fn review_uploads(
    settings: &Settings,
    now_ms: u64,
    uploads: impl IntoIterator<Item = Upload>,
) -> Vec<u64> {
    let limit_ms = settings.idle_upload_ms.max(ABANDONED_AFTER_MS);
    let abandoned = |upload: &Upload| now_ms.saturating_sub(upload.active_ms) > limit_ms;
    uploads.into_iter().filter(abandoned).map(|upload| upload.id).collect()
}

fn is_unused(settings: &Settings, now_ms: u64, candidate: &Candidate) -> bool {
    let last_ms = candidate.entry.used_ms.max(candidate.entry.created_ms);
    settings.unused_entry_ms.is_some_and(|limit_ms| now_ms.saturating_sub(last_ms) > limit_ms)
}

#[cfg(test)]
mod tests;
