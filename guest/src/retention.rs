//! Retention: selects the entries and uploads that a sweep deletes.
//!
//! Called by `bindings` for the export `retention`, and by `service` for the age of an entry. What is
//! selected is a pure function of the arguments, as long as the policy's answers are.

use crate::Policy;
use crate::buildkit::{self, LAYER_MARGIN_MS, is_ahead, is_index, is_layer, last_use_ms};
use crate::ports::{
    Candidate, Cause, ContentState, Entry, GroupMember, Host, KeepNewest, Roots, Selection, Settings, Slot,
    Upload, Verdict, Wish,
};
use crate::service::refusal;

/// Shortest inactivity after which an upload is abandoned, in milliseconds: an hour. A client that
/// backs off may pause for a quarter of an hour (azcore: ten attempts, up to 120 s apart). An idle
/// upload does not block its slot in the meantime (`settings.idle-upload-ms`); it only takes disk
/// space.
pub const ABANDONED_AFTER_MS: u64 = 60 * 60 * 1000;

/// Selects what [`review_entries`] needs to know. Roots are the indexes of BuildKit that are old
/// enough, or of unknown age: younger ones name no layer that could be deleted. Groups are those of
/// `keep_newest`: a rule, in a repository and scope.
pub fn select_entries(
    policy: &dyn Policy,
    settings: &Settings,
    now_ms: u64,
    entries: impl IntoIterator<Item = Entry>,
) -> Selection {
    let root_age_ms = root_age_ms(settings);
    let mut selection = Selection::default();
    for entry in entries {
        if root_age_ms.is_some_and(|age_ms| is_old_index(now_ms, &entry, age_ms)) {
            selection.roots.push(entry.id);
        }
        if let Some(group) = policy.group(settings, &entry.slot) {
            selection.groups.push(GroupMember { id: entry.id, group });
        }
    }
    selection
}

/// Returns the group in which an entry's newer ones count: a rule of `keep_newest`, in a repository and
/// scope.
pub(crate) fn group(settings: &Settings, slot: &Slot) -> Option<String> {
    kept_newest(settings, slot).map(|(rule, _)| format!("{rule}\0{}\0{}", slot.repository, slot.scope))
}

/// Returns the age below which no index matters; `None` if nothing is deleted by time. By its total
/// age, because there are newer ones, or by a rule a layer may be deleted that an index has just named.
fn root_age_ms(settings: &Settings) -> Option<u64> {
    let is_at_any_age = settings.max_age_ms.is_some() || !settings.keep_newest.is_empty();
    if is_at_any_age || settings.has_retention_rules {
        return Some(0);
    }
    [settings.unused_entry_ms, settings.never_used_ms].into_iter().flatten().min()
}

fn is_old_index(now_ms: u64, entry: &Entry, age_ms: u64) -> bool {
    let is_old = || is_ahead(now_ms, entry.created_ms) || now_ms.saturating_sub(entry.created_ms) >= age_ms;
    is_index(&entry.slot) && is_old()
}

/// Returns the entries to delete: those with broken content, and those that a setting lets go:
/// unused for longer than `unused_entry_ms`, never used for `never_used_ms`, older than `max_age_ms`,
/// with enough newer ones in their group; or those that a rule of the operator wants deleted. All of these only after they were unused for the lifetime
/// of a download URL, because the last use may be written late, and the holder of a URL can still
/// download the content; and a layer only if no index may name it any more.
///
/// A layer is deleted in a later sweep than the last index that may name it. It is deleted
/// eventually, because indexes expire by their own last use.
pub fn review_entries(
    policy: &dyn Policy,
    settings: &Settings,
    now_ms: u64,
    candidates: impl IntoIterator<Item = Candidate>,
    roots: &Roots,
) -> Vec<Verdict> {
    let verdict = |candidate: Candidate| {
        let cause = cause(policy, settings, now_ms, &candidate, roots)?;
        Some(Verdict { id: candidate.entry.id, cause })
    };
    candidates.into_iter().filter_map(verdict).collect()
}

fn cause(
    policy: &dyn Policy,
    settings: &Settings,
    now_ms: u64,
    candidate: &Candidate,
    roots: &Roots,
) -> Option<Cause> {
    match candidate.content {
        ContentState::Broken => Some(Cause::Stale),
        ContentState::Intact | ContentState::Unknown => {
            let cause = match &candidate.wish {
                Some(Wish::Keep) => return None,
                Some(Wish::Remove(rule)) => cause_by_rule(settings, now_ms, candidate, rule)?,
                // Of layers the roots of a policy's own ages are not known.
                None if is_layer(&candidate.entry.slot) => cause_by_facts(settings, now_ms, candidate)?,
                None => policy.departs(settings, now_ms, candidate)?,
            };
            (!is_needed(now_ms, &candidate.entry, roots)).then_some(cause)
        }
    }
}

/// Returns the rule that wants the entry deleted, unless somebody may have a URL of it. The rules that
/// gave a layer a lifetime may be gone: then its roots are not known at every age, and it stays.
fn cause_by_rule(settings: &Settings, now_ms: u64, candidate: &Candidate, rule: &str) -> Option<Cause> {
    let entry = &candidate.entry;
    let idle_ms = now_ms.saturating_sub(last_use_ms(now_ms, entry));
    let are_roots_known = settings.has_retention_rules || !is_layer(&entry.slot);
    (are_roots_known && idle_ms > margin_ms(settings, &entry.slot)).then(|| Cause::Rule(rule.to_owned()))
}

/// Returns why a setting lets the entry go.
pub(crate) fn cause_by_facts(settings: &Settings, now_ms: u64, candidate: &Candidate) -> Option<Cause> {
    let entry = &candidate.entry;
    let idle_ms = now_ms.saturating_sub(last_use_ms(now_ms, entry));
    let margin_ms = margin_ms(settings, &entry.slot);
    let idle_for =
        |limit_ms: Option<u64>| limit_ms.is_some_and(|limit_ms| idle_ms > limit_ms.saturating_add(margin_ms));
    if idle_for(settings.unused_entry_ms) {
        Some(Cause::Age)
    } else if candidate.details.uses == Some(0) && idle_for(settings.never_used_ms) {
        Some(Cause::NeverUsed)
    } else if is_past_max_age(settings, now_ms, entry) && idle_for(Some(0)) {
        Some(Cause::MaxAge)
    } else if is_superseded(settings, candidate) && idle_for(Some(0)) {
        Some(Cause::Superseded)
    } else {
        None
    }
}

/// How long after its last use an entry may still be needed: somebody has a URL of it, or an export
/// will soon save an index that names it.
fn margin_ms(settings: &Settings, slot: &Slot) -> u64 {
    let url_ms = settings.download_url_ms;
    if is_layer(slot) { url_ms.max(LAYER_MARGIN_MS) } else { url_ms }
}

fn is_past_max_age(settings: &Settings, now_ms: u64, entry: &Entry) -> bool {
    // An unknown age is none.
    !is_ahead(now_ms, entry.created_ms)
        && settings.max_age_ms.is_some_and(|limit_ms| now_ms.saturating_sub(entry.created_ms) > limit_ms)
}

/// Returns whether an entry is too old to be served. A layer is served as long as it is there: an
/// index names it.
pub(crate) fn is_too_old(settings: &Settings, now_ms: u64, entry: &Entry) -> bool {
    !is_layer(&entry.slot) && is_past_max_age(settings, now_ms, entry)
}

/// Returns whether an entry is too old to be served, and no URL of it is valid any more.
pub(crate) fn is_replaceable(policy: &dyn Policy, settings: &Settings, now_ms: u64, entry: &Entry) -> bool {
    let idle_ms = now_ms.saturating_sub(last_use_ms(now_ms, entry));
    !policy.serves(settings, now_ms, entry) && idle_ms > settings.download_url_ms
}

fn is_superseded(settings: &Settings, candidate: &Candidate) -> bool {
    let rule = kept_newest(settings, &candidate.entry.slot);
    rule.zip(candidate.newer).is_some_and(|((_, rule), newer)| newer >= rule.keep)
}

/// Returns the rule of `keep_newest` for a slot, and its place among them.
fn kept_newest<'a>(settings: &'a Settings, slot: &Slot) -> Option<(usize, &'a KeepNewest)> {
    let matches = |(_, rule): &(usize, &KeepNewest)| buildkit::starts_with(slot, &rule.prefix);
    settings.keep_newest.iter().enumerate().find(matches)
}

fn is_needed(now_ms: u64, entry: &Entry, roots: &Roots) -> bool {
    let may_name = |index: &Entry| buildkit::may_name(now_ms, index, entry);
    is_layer(&entry.slot) && (!roots.complete || roots.entries.iter().any(may_name))
}

/// Returns the ids of the uploads to abandon: those without activity for [`ABANDONED_AFTER_MS`], or
/// for `idle_upload_ms` if that is longer. Deletes the indexes of `BuildKit` that may name one of them.
pub async fn review_uploads<H: Host>(
    host: &H,
    now_ms: u64,
    uploads: impl IntoIterator<Item = Upload>,
) -> Vec<u64> {
    let limit_ms = host.settings().idle_upload_ms.max(ABANDONED_AFTER_MS);
    let is_abandoned = |upload: &Upload| now_ms.saturating_sub(upload.last_activity_ms) > limit_ms;
    let mut ids = Vec::new();
    for upload in uploads.into_iter().filter(is_abandoned) {
        refusal::note_dead(host, &upload, now_ms).await;
        ids.push(upload.id);
    }
    ids
}

#[cfg(test)]
mod tests;
