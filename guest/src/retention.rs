//! What is kept: the component's judgement of what the host's sweep lists.
//!
//! Called by `bindings` for the export `retention`. Pure: looks at what it is given, and at nothing else.

use crate::ports::{Candidate, ContentState, Entry, Roots, Settings, Upload};

/// The least time after which an upload without activity is given up, in milliseconds: an hour. A client that backs off may
/// pause for a quarter of one (azcore: ten tries, up to 120 s apart). Until then an idle upload yields to whoever reserves
/// its slot, so that waiting costs disk space only.
pub const ABANDONED_AFTER_MS: u64 = 60 * 60 * 1000;

/// How much longer than other entries a layer of BuildKit's is kept, and how far from the making of an index it may have been
/// used by the export that made it, in milliseconds: a day. An export looks each layer up, or saves it, before it saves the
/// index that names it; it takes minutes, and a job hours at most.
pub const LAYER_MARGIN_MS: u64 = 24 * 60 * 60 * 1000;

/// How far ahead of the clock a time of making may be, in milliseconds: a day, which is as much longer as the entry is kept.
/// A later one was written while a clock was wrong, and says nothing; times of use that are ahead the host brings back to the
/// present when it meets them.
pub const AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// How BuildKit's keys begin (protocol reference 5.2): of a layer, and of an index, which names layers.
const LAYER: &str = "buildkit-blob-";
const INDEX: &str = "index-";

/// Returns the ids of the entries that [`review_entries`] must know of to judge layers: the indexes that are older than the
/// time for which entries are kept, or of unknown age, and still there. Younger ones name no layer that could go.
pub fn select_roots(settings: &Settings, now_ms: u64, entries: impl IntoIterator<Item = Entry>) -> Vec<u64> {
    let Some(limit_ms) = settings.unused_entry_ms else { return Vec::new() };
    let is_old_index = |entry: &Entry| {
        let age_ms = now_ms.saturating_sub(entry.created_ms);
        begins_with(entry, INDEX) && (is_ahead(now_ms, entry.created_ms) || age_ms > limit_ms)
    };
    entries.into_iter().filter(is_old_index).map(|entry| entry.id).collect()
}

/// Returns the ids of the entries to delete: those whose content is broken, and those not used (or, never used, made) for
/// longer than the operator keeps them, and then for as long as a URL is good: the last use may be stored late, and who was
/// given a URL gets the content. An entry that the storage cannot speak for is judged by its age alone.
///
/// A layer stays as long as there is an index that may name it: a build that finds its index and then misses a layer fails.
/// What an index names cannot be read here, but it can be told from the times: a layer that it names was made before it, and
/// was used no longer than a margin before it was made, by the export that made both. So a layer goes only after all such
/// indexes, in a later sweep than they; and it does go, for indexes go by their own last use.
pub fn review_entries(
    settings: &Settings,
    now_ms: u64,
    candidates: impl IntoIterator<Item = Candidate>,
    indexes: &Roots,
) -> Vec<u64> {
    let doomed = |candidate: &Candidate| match candidate.content {
        ContentState::Broken => true,
        ContentState::Intact | ContentState::Unknown => {
            is_unused(settings, now_ms, &candidate.entry) && !is_needed(now_ms, &candidate.entry, indexes)
        }
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
    let abandoned = |upload: &Upload| now_ms.saturating_sub(upload.last_activity_ms) > limit_ms;
    uploads.into_iter().filter(abandoned).map(|upload| upload.id).collect()
}

fn is_unused(settings: &Settings, now_ms: u64, entry: &Entry) -> bool {
    let url_ms = settings.download_url_ms;
    let margin_ms = if is_layer(entry) { url_ms.max(LAYER_MARGIN_MS) } else { url_ms };
    settings.unused_entry_ms.is_some_and(|limit_ms| {
        now_ms.saturating_sub(last_use_ms(now_ms, entry)) > limit_ms.saturating_add(margin_ms)
    })
}

fn is_needed(now_ms: u64, entry: &Entry, indexes: &Roots) -> bool {
    let may_name = |index: &Entry| may_name(now_ms, index, entry);
    is_layer(entry) && (!indexes.complete || indexes.entries.iter().any(may_name))
}

/// Scopes do not matter: a pull request's index names layers of the default branch. Where one was made is not known, it may
/// have been at any time.
fn may_name(now_ms: u64, index: &Entry, layer: &Entry) -> bool {
    let was_there = is_ahead(now_ms, layer.created_ms)
        || layer.created_ms <= index.created_ms.saturating_add(LAYER_MARGIN_MS);
    let was_used = index.created_ms <= last_use_ms(now_ms, layer).saturating_add(LAYER_MARGIN_MS);
    index.slot.repository == layer.slot.repository
        && (is_ahead(now_ms, index.created_ms) || (was_there && was_used))
}

fn is_layer(entry: &Entry) -> bool {
    begins_with(entry, LAYER)
}

/// In any case, as keys are matched.
fn begins_with(entry: &Entry, start: &str) -> bool {
    entry.slot.key.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn last_use_ms(now_ms: u64, entry: &Entry) -> u64 {
    if is_ahead(now_ms, entry.created_ms) {
        entry.last_used_ms
    } else {
        entry.last_used_ms.max(entry.created_ms)
    }
}

fn is_ahead(now_ms: u64, time_ms: u64) -> bool {
    time_ms > now_ms.saturating_add(AHEAD_MS)
}

#[cfg(test)]
mod tests;
