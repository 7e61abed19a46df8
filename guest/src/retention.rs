//! Retention: selects the entries and uploads that a sweep deletes.
//!
//! Called by `bindings` for the export `retention`. Pure functions of their arguments.

use crate::ports::{Candidate, ContentState, Entry, Roots, Settings, Upload};

/// Shortest inactivity after which an upload is abandoned, in milliseconds: an hour. A client that
/// backs off may pause for a quarter of an hour (azcore: ten attempts, up to 120 s apart). An idle
/// upload does not block its slot in the meantime (`settings.idle-upload-ms`); it only takes disk
/// space.
pub const ABANDONED_AFTER_MS: u64 = 60 * 60 * 1000;

/// How much longer than other entries a layer of BuildKit is kept, and the longest time between its
/// use and the creation of an index by the same export, in milliseconds: a day. An export looks up
/// or saves each layer before it saves the index that names it. An export takes minutes, a job at
/// most hours.
pub const LAYER_MARGIN_MS: u64 = 24 * 60 * 60 * 1000;

/// How far in the future a creation time may be, in milliseconds: a day, which extends the
/// retention of the entry as much. A later one was written while a clock was wrong, and is ignored.
/// The host corrects last-used times in the future.
pub const AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// The prefixes of BuildKit's keys (protocol reference 5.2): of a layer, and of an index, which
/// names layers.
const LAYER: &str = "buildkit-blob-";
const INDEX: &str = "index-";

/// Selects the roots that [`review_entries`] needs: the indexes older than `unused_entry_ms`, or of
/// unknown age. Younger indexes name no layer that could be deleted.
pub fn select_roots(settings: &Settings, now_ms: u64, entries: impl IntoIterator<Item = Entry>) -> Vec<u64> {
    let Some(limit_ms) = settings.unused_entry_ms else { return Vec::new() };
    let is_old_index = |entry: &Entry| {
        let age_ms = now_ms.saturating_sub(entry.created_ms);
        starts_with(entry, INDEX) && (is_ahead(now_ms, entry.created_ms) || age_ms > limit_ms)
    };
    entries.into_iter().filter(is_old_index).map(|entry| entry.id).collect()
}

/// Returns the ids of the entries to delete: those with broken content, and those unused for longer
/// than `unused_entry_ms` plus the lifetime of a download URL, because the last use may be written
/// late, and the holder of a URL can still download the content. If the state of the content is
/// unknown, only the age counts.
///
/// A layer is kept as long as an index may name it, because a build that finds its index and then
/// misses a layer fails. The policy cannot read an index, but the times bound its layers: a layer
/// that it names was created before it, and last used at most [`LAYER_MARGIN_MS`] before it was
/// created, by the export that created both. So a layer is deleted in a later sweep than the last
/// such index. It is deleted eventually, because indexes expire by their own last use.
pub fn review_entries(
    settings: &Settings,
    now_ms: u64,
    candidates: impl IntoIterator<Item = Candidate>,
    roots: &Roots,
) -> Vec<u64> {
    let doomed = |candidate: &Candidate| match candidate.content {
        ContentState::Broken => true,
        ContentState::Intact | ContentState::Unknown => {
            is_unused(settings, now_ms, &candidate.entry) && !is_needed(now_ms, &candidate.entry, roots)
        }
    };
    candidates.into_iter().filter(doomed).map(|candidate| candidate.entry.id).collect()
}

/// Returns the ids of the uploads to abandon: those without activity for [`ABANDONED_AFTER_MS`], or
/// for `idle_upload_ms` if that is longer.
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

fn is_needed(now_ms: u64, entry: &Entry, roots: &Roots) -> bool {
    let may_name = |index: &Entry| may_name(now_ms, index, entry);
    is_layer(entry) && (!roots.complete || roots.entries.iter().any(may_name))
}

/// Returns whether the index may name the layer. In any scope: the index of a pull request names
/// layers of the default branch. An unknown creation time may be any time.
fn may_name(now_ms: u64, index: &Entry, layer: &Entry) -> bool {
    let was_there = is_ahead(now_ms, layer.created_ms)
        || layer.created_ms <= index.created_ms.saturating_add(LAYER_MARGIN_MS);
    let was_used = index.created_ms <= last_use_ms(now_ms, layer).saturating_add(LAYER_MARGIN_MS);
    index.slot.repository == layer.slot.repository
        && (is_ahead(now_ms, index.created_ms) || (was_there && was_used))
}

fn is_layer(entry: &Entry) -> bool {
    is_layer_key(&entry.slot.key)
}

/// Returns whether the key is that of a layer of BuildKit.
pub(crate) fn is_layer_key(key: &str) -> bool {
    has_prefix(key, LAYER)
}

/// Ignores ASCII case, as the matching of keys.
fn starts_with(entry: &Entry, prefix: &str) -> bool {
    has_prefix(&entry.slot.key, prefix)
}

fn has_prefix(key: &str, prefix: &str) -> bool {
    key.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
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
