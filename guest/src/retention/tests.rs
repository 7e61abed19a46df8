use proptest::prelude::*;

use super::{ABANDONED_AFTER_MS, review_uploads, select_entries};
use crate::DefaultPolicy;
use crate::buildkit::{AHEAD_MS, LAYER_MARGIN_MS};
use crate::fake::{FakeHost, NOW_MS, block_on};
use crate::ports::{
    Candidate, Cause, ContentState, Entry, EntryDetails, Host, KeepNewest, Roots, Settings, Slot, Trust,
    Upload, Verdict, Wish,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn settings(unused_entry_ms: Option<u64>) -> Settings {
    Settings { unused_entry_ms, ..FakeHost::new().settings().clone() }
}

fn slot() -> Slot {
    Slot { repository: "1".into(), scope: "main".into(), version: "v".into(), key: "k".into() }
}

fn entry(id: u64, created_ms: u64, last_used_ms: u64, content: ContentState) -> Candidate {
    let entry =
        Entry { id, slot: slot(), object: "o".into(), size_bytes: 1, created_ms, last_used_ms, owner: None };
    candidate(entry, content)
}

fn candidate(entry: Entry, content: ContentState) -> Candidate {
    let details = EntryDetails { facts: None, uses: None, trust: Trust::Full };
    Candidate { entry, details, content, newer: None, wish: None }
}

fn ids(verdicts: Vec<Verdict>) -> Vec<u64> {
    verdicts.into_iter().map(|verdict| verdict.id).collect()
}

/// Reviews without roots.
fn review_entries(
    settings: &Settings,
    now_ms: u64,
    candidates: impl IntoIterator<Item = Candidate>,
) -> Vec<u64> {
    ids(super::review_entries(
        &DefaultPolicy,
        settings,
        now_ms,
        candidates,
        &Roots { entries: Vec::new(), complete: true },
    ))
}

fn upload(id: u64, last_activity_ms: u64) -> Upload {
    Upload {
        id,
        name: "u".into(),
        slot: slot(),
        owner: "t".into(),
        created_ms: 0,
        last_activity_ms,
        attachment: None,
    }
}

#[test]
fn without_an_age_limit_only_broken_entries_are_deleted() {
    let candidates = [
        entry(1, 0, 0, ContentState::Intact),
        entry(2, NOW_MS, NOW_MS, ContentState::Broken),
        entry(3, 0, 0, ContentState::Unknown),
    ];
    assert_eq!(review_entries(&settings(None), NOW_MS, candidates), [2]);
}

#[test]
fn entries_unused_for_longer_than_the_limit_are_deleted() {
    let week = 7 * DAY_MS;
    // The fake's URLs are valid for an hour.
    let edge = NOW_MS - week - 60 * 60 * 1000;
    let candidates = [
        entry(1, 0, edge, ContentState::Intact),
        entry(2, 0, edge - 1, ContentState::Intact),
        entry(3, edge, 0, ContentState::Intact),
        entry(4, edge - 1, 0, ContentState::Intact),
        entry(5, edge - 1, edge - 1, ContentState::Unknown),
        entry(6, NOW_MS, NOW_MS, ContentState::Unknown),
        entry(7, NOW_MS + DAY_MS, 0, ContentState::Intact),
    ];
    assert_eq!(review_entries(&settings(Some(week)), NOW_MS, candidates), [2, 4, 5]);
}

fn reviewed<const N: usize>(settings: Settings, uploads: [Upload; N]) -> Vec<u64> {
    let host = FakeHost::new();
    host.configure(|of_host| *of_host = settings);
    block_on(review_uploads(&host, NOW_MS, uploads))
}

#[test]
fn uploads_without_activity_for_an_hour_are_abandoned() {
    let edge = NOW_MS - ABANDONED_AFTER_MS;
    let uploads =
        [upload(1, edge), upload(2, edge - 1), upload(3, NOW_MS - 30_000), upload(4, NOW_MS + DAY_MS)];
    assert_eq!(reviewed(settings(None), uploads), [2]);
}

#[test]
fn uploads_are_kept_until_they_can_be_displaced() {
    let settings = Settings { idle_upload_ms: DAY_MS, ..settings(None) };
    let uploads = [upload(1, NOW_MS - DAY_MS), upload(2, NOW_MS - DAY_MS - 1)];
    assert_eq!(reviewed(settings, uploads), [2]);
}

const WEEK_MS: u64 = 7 * DAY_MS;
/// Last used so long ago that a layer is deleted, if no index needs it.
const OLD_MS: u64 = NOW_MS - WEEK_MS - LAYER_MARGIN_MS - 1;

fn keyed(id: u64, repository: &str, key: &str, created_ms: u64, last_used_ms: u64) -> Entry {
    let slot = Slot { repository: repository.into(), scope: id.to_string(), key: key.into(), ..slot() };
    Entry { id, slot, object: "o".into(), size_bytes: 1, created_ms, last_used_ms, owner: None }
}

fn layer(id: u64, created_ms: u64, last_used_ms: u64) -> Entry {
    keyed(id, "1", "buildkit-blob-1-sha256:0123", created_ms, last_used_ms)
}

fn index(id: u64, created_ms: u64, last_used_ms: u64) -> Entry {
    keyed(id, "1", "index-buildkit-1-01234567#1", created_ms, last_used_ms)
}

/// A sweep: selects roots, then reviews. Returns the ids to delete.
fn sweep(settings: &Settings, now_ms: u64, entries: &[Entry]) -> Vec<u64> {
    let chosen = select_entries(&DefaultPolicy, settings, now_ms, entries.to_vec()).roots;
    let entries_chosen = entries.iter().filter(|entry| chosen.contains(&entry.id)).cloned().collect();
    let roots = Roots { entries: entries_chosen, complete: true };
    let candidates = entries.iter().map(|entry| candidate(entry.clone(), ContentState::Intact));
    ids(super::review_entries(&DefaultPolicy, settings, now_ms, candidates, &roots))
}

#[test]
fn a_layer_is_kept_as_long_as_an_index_may_name_it() {
    let settings = settings(Some(WEEK_MS));
    assert_eq!(sweep(&settings, NOW_MS, &[layer(1, OLD_MS, OLD_MS)]), [1]);
    // Created right after the layer, and in use.
    let used = index(2, OLD_MS + 1000, NOW_MS);
    assert!(sweep(&settings, NOW_MS, &[layer(1, OLD_MS, OLD_MS), used.clone()]).is_empty());
    // Of another repository.
    let other = Entry { slot: Slot { repository: "2".into(), ..used.slot.clone() }, ..used };
    assert_eq!(sweep(&settings, NOW_MS, &[layer(1, OLD_MS, OLD_MS), other]), [1]);
}

#[test]
fn a_layer_is_deleted_in_a_later_sweep_than_its_last_index() {
    let settings = settings(Some(WEEK_MS));
    let (layer, index) = (layer(1, OLD_MS, OLD_MS), index(2, OLD_MS, OLD_MS));
    assert_eq!(sweep(&settings, NOW_MS, &[layer.clone(), index]), [2]);
    assert_eq!(sweep(&settings, NOW_MS, &[layer]), [1]);
}

#[test]
fn layers_of_superseded_builds_are_deleted_while_other_indexes_are_in_use() {
    let settings = settings(Some(WEEK_MS));
    let long_before = index(1, OLD_MS - 30 * DAY_MS, NOW_MS);
    let made_later = index(2, NOW_MS - DAY_MS, NOW_MS);
    assert_eq!(sweep(&settings, NOW_MS, &[long_before, layer(3, OLD_MS, OLD_MS), made_later]), [3]);
}

/// Fault 19.
#[test]
fn entries_created_in_the_future_expire_by_their_last_use() {
    const YEAR_MS: u64 = 365 * DAY_MS;
    let settings = settings(Some(WEEK_MS));
    let ahead = NOW_MS + YEAR_MS;
    let review = |created_ms, last_used_ms| {
        review_entries(&settings, NOW_MS, [entry(1, created_ms, last_used_ms, ContentState::Intact)])
    };
    assert_eq!(review(ahead, OLD_MS), [1]);
    assert!(review(ahead, NOW_MS).is_empty());
    // Its last use is unknown: the host sets it to now, and later the entry is deleted.
    assert!(review(ahead, ahead).is_empty());
    // Another server's clock may be somewhat ahead.
    assert!(review(NOW_MS + AHEAD_MS, OLD_MS).is_empty());
}

/// Fault 19.
#[test]
fn a_layer_is_kept_if_its_own_or_its_indexs_creation_time_is_unknown() {
    let settings = settings(Some(WEEK_MS));
    let ahead = NOW_MS + 365 * DAY_MS;
    for (made, index_made) in [(ahead, ahead), (OLD_MS, ahead), (ahead, OLD_MS)] {
        let used = index(2, index_made, NOW_MS);
        assert!(sweep(&settings, NOW_MS, &[layer(1, made, OLD_MS), used]).is_empty(), "{made} {index_made}");
        let unused = index(2, index_made, OLD_MS);
        assert_eq!(sweep(&settings, NOW_MS, &[layer(1, made, OLD_MS), unused]), [2]);
        assert_eq!(sweep(&settings, NOW_MS, &[layer(1, made, OLD_MS)]), [1]);
    }
}

/// Fault 4: keys match in any case, so they are BuildKit's in any case.
#[test]
fn layers_and_indexes_are_recognized_in_any_case() {
    let settings = settings(Some(WEEK_MS));
    let layer = keyed(1, "1", "BuildKit-BLOB-1-sha256:0123", OLD_MS, OLD_MS);
    let used = keyed(2, "1", "INDEX-buildkit-1-01234567#1", OLD_MS + 1000, NOW_MS);
    assert!(sweep(&settings, NOW_MS, &[layer.clone(), used]).is_empty());
    assert_eq!(sweep(&settings, NOW_MS, &[layer]), [1]);
    // Shorter than the prefix, and cut in the middle of a character.
    for key in ["buildkit", "buildkit-blobé"] {
        assert_eq!(sweep(&settings, NOW_MS, &[keyed(1, "1", key, OLD_MS, OLD_MS)]), [1]);
    }
}

#[test]
fn no_layer_is_deleted_while_the_roots_are_incomplete() {
    let settings = settings(Some(WEEK_MS));
    let unknown = Roots { entries: Vec::new(), complete: false };
    let candidates = [layer(1, OLD_MS, OLD_MS), keyed(2, "1", "deps", OLD_MS, OLD_MS)]
        .map(|entry| candidate(entry, ContentState::Intact));
    assert_eq!(ids(super::review_entries(&DefaultPolicy, &settings, NOW_MS, candidates, &unknown)), [2]);
}

#[test]
fn an_entry_outlives_its_urls_even_if_its_use_is_lost() {
    for (unused_ms, url_ms) in
        [(0, 0), (0, DAY_MS), (1000, 1), (1000, DAY_MS), (WEEK_MS, 1000), (DAY_MS, u64::MAX)]
    {
        let settings = Settings {
            unused_entry_ms: Some(unused_ms),
            download_url_ms: url_ms,
            ..FakeHost::new().settings().clone()
        };
        let entry = keyed(1, "1", "deps", NOW_MS, NOW_MS);
        // The host writes a use at once if the stored one is older than a quarter of the limit; so
        // this is the latest use that may get lost.
        let handed_out_ms = NOW_MS + unused_ms / 4;
        let good_until_ms = handed_out_ms.saturating_add(url_ms);
        let candidate = || [candidate(entry.clone(), ContentState::Intact)];
        assert!(review_entries(&settings, good_until_ms, candidate()).is_empty());
        if let Some(later) = (NOW_MS + unused_ms).saturating_add(url_ms).checked_add(1) {
            assert_eq!(review_entries(&settings, later, candidate()), [1]);
        }
    }
}

proptest! {
    /// Exports and imports at random times, with sweeps in between: an existing index has all its
    /// layers.
    #[test]
    fn an_index_never_loses_a_layer(
        steps in proptest::collection::vec((0_u8..4, 0_usize..6, 0_u64..4 * DAY_MS), 1..60),
    ) {
        let settings = settings(Some(WEEK_MS));
        let (mut now_ms, mut next_id) = (NOW_MS, 100);
        let mut layers: Vec<Entry> = Vec::new();
        let mut indexes: Vec<(Entry, Vec<u64>)> = Vec::new();
        for (step, which, pause_ms) in steps {
            now_ms += pause_ms;
            match step {
                // An export: looks up some layers and saves a new one, then, hours later, the
                // index.
                0 => {
                    let mut named = vec![next_id];
                    layers.push(layer(next_id, now_ms, now_ms));
                    for old in layers.iter_mut().rev().skip(1).take(which) {
                        old.last_used_ms = now_ms;
                        named.push(old.id);
                    }
                    now_ms += 6 * 60 * 60 * 1000;
                    indexes.push((index(next_id + 1, now_ms, now_ms), named));
                    next_id += 2;
                }
                // An import that needs no layer.
                1 => if let Some((index, _)) = indexes.iter_mut().rev().nth(which) {
                    index.last_used_ms = now_ms;
                },
                _ => {
                    let all: Vec<Entry> =
                        layers.iter().chain(indexes.iter().map(|(index, _)| index)).cloned().collect();
                    let gone = sweep(&settings, now_ms, &all);
                    layers.retain(|layer| !gone.contains(&layer.id));
                    for (index, named) in &indexes {
                        for id in named {
                            prop_assert!(layers.iter().any(|layer| layer.id == *id), "{index:?} lost {id}");
                        }
                    }
                    indexes.retain(|(index, _)| !gone.contains(&index.id));
                }
            }
        }
        // Nothing is kept for ever.
        now_ms += 10 * WEEK_MS;
        for _ in 0..2 {
            let all: Vec<Entry> = layers.iter().chain(indexes.iter().map(|(index, _)| index)).cloned().collect();
            let gone = sweep(&settings, now_ms, &all);
            layers.retain(|layer| !gone.contains(&layer.id));
            indexes.retain(|(index, _)| !gone.contains(&index.id));
        }
        prop_assert!(layers.is_empty() && indexes.is_empty());
    }
}

fn with_uses(candidate: Candidate, uses: Option<u64>) -> Candidate {
    Candidate { details: EntryDetails { uses, ..candidate.details }, ..candidate }
}

fn causes(settings: &Settings, candidates: impl IntoIterator<Item = Candidate>) -> Vec<(u64, Cause)> {
    let roots = Roots { entries: Vec::new(), complete: true };
    let doomed = super::review_entries(&DefaultPolicy, settings, NOW_MS, candidates, &roots);
    doomed.into_iter().map(|verdict| (verdict.id, verdict.cause)).collect()
}

#[test]
fn each_verdict_has_its_cause() {
    let settings = Settings { unused_entry_ms: Some(WEEK_MS), ..FakeHost::new().settings().clone() };
    let candidates = [
        entry(1, OLD_MS, OLD_MS, ContentState::Intact),
        entry(2, NOW_MS, NOW_MS, ContentState::Broken),
        entry(3, NOW_MS, NOW_MS, ContentState::Intact),
    ];
    assert_eq!(causes(&settings, candidates), [(1, Cause::Age), (2, Cause::Stale)]);
}

/// What an older release saved has no count, which is not a count of none.
#[test]
fn an_entry_that_was_never_used_goes_earlier_and_one_without_a_count_does_not() {
    let settings = Settings { never_used_ms: Some(DAY_MS), ..FakeHost::new().settings().clone() };
    let made_ms = NOW_MS - 2 * DAY_MS;
    let candidate = |id, uses| with_uses(entry(id, made_ms, made_ms, ContentState::Intact), uses);
    let young = with_uses(entry(4, NOW_MS - DAY_MS, NOW_MS - DAY_MS, ContentState::Intact), Some(0));
    let candidates = [candidate(1, Some(0)), candidate(2, Some(1)), candidate(3, None), young];
    assert_eq!(causes(&settings, candidates), [(1, Cause::NeverUsed)]);
}

#[test]
fn an_old_entry_goes_however_often_it_was_used_but_not_within_the_life_of_a_url() {
    let settings = Settings { max_age_ms: Some(WEEK_MS), ..FakeHost::new().settings().clone() };
    let url_ms = settings.download_url_ms;
    let candidates = [
        entry(1, OLD_MS, NOW_MS - url_ms - 1, ContentState::Intact),
        entry(2, OLD_MS, NOW_MS - url_ms, ContentState::Intact),
        entry(3, NOW_MS - WEEK_MS, NOW_MS - WEEK_MS, ContentState::Intact),
        // Written while a clock was wrong: its age is unknown.
        entry(4, NOW_MS + 365 * DAY_MS, OLD_MS, ContentState::Intact),
    ];
    assert_eq!(causes(&settings, candidates), [(1, Cause::MaxAge)]);
}

fn keeping(rules: &[(&str, u32)]) -> Settings {
    let rule = |(prefix, keep): &(&str, u32)| KeepNewest { prefix: (*prefix).to_owned(), keep: *keep };
    Settings { keep_newest: rules.iter().map(rule).collect(), ..FakeHost::new().settings().clone() }
}

#[test]
fn the_newest_of_a_prefix_stay_in_each_scope() {
    let settings = keeping(&[("npm-", 2), ("n", 1)]);
    let keyed = |id: u64, scope: &str, key: &str| {
        let slot = Slot { scope: scope.into(), key: key.into(), ..slot() };
        Entry { slot, ..keyed(id, "1", key, OLD_MS, OLD_MS) }
    };
    let entries = [
        keyed(1, "main", "npm-1"),
        keyed(2, "main", "NPM-2"),
        keyed(3, "main", "npm-3"),
        keyed(4, "pr", "npm-1"),
        keyed(5, "main", "nix-1"),
        keyed(6, "main", "nix-2"),
        keyed(7, "main", "other"),
    ];
    let groups = select_entries(&DefaultPolicy, &settings, NOW_MS, entries.to_vec()).groups;
    assert_eq!(groups.iter().map(|member| member.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    // As the host counts.
    let newer = |entry: &Entry| {
        let of = |id| groups.iter().find(|member| member.id == id).map(|member| &member.group);
        let own = of(entry.id)?;
        let others = groups.iter().filter(|other| other.id > entry.id && of(other.id) == Some(own));
        u32::try_from(others.count()).ok()
    };
    let candidates = entries
        .iter()
        .map(|entry| Candidate { newer: newer(entry), ..candidate(entry.clone(), ContentState::Intact) });
    assert_eq!(causes(&settings, candidates), [(1, Cause::Superseded), (5, Cause::Superseded)]);
}

#[test]
fn a_superseded_entry_in_use_and_one_that_was_not_counted_stay() {
    let settings = keeping(&[("k", 1)]);
    let used = Candidate { newer: Some(7), ..entry(1, OLD_MS, NOW_MS, ContentState::Intact) };
    let uncounted = entry(2, OLD_MS, OLD_MS, ContentState::Intact);
    assert!(causes(&settings, [used, uncounted]).is_empty());
}

/// A build that finds its index and then misses a layer fails.
#[test]
fn no_rule_deletes_a_layer_that_an_index_may_name() {
    let base = FakeHost::new().settings().clone();
    for settings in [
        Settings { never_used_ms: Some(DAY_MS), ..base.clone() },
        Settings { max_age_ms: Some(DAY_MS), ..base },
        keeping(&[("buildkit-blob-", 1)]),
    ] {
        let review = |entries: &[Entry]| {
            let chosen = select_entries(&DefaultPolicy, &settings, NOW_MS, entries.to_vec()).roots;
            let roots = entries.iter().filter(|entry| chosen.contains(&entry.id)).cloned().collect();
            let candidate = |entry: &Entry| Candidate {
                newer: Some(1),
                ..with_uses(candidate(entry.clone(), ContentState::Intact), Some(0))
            };
            let candidates = entries[..1].iter().map(candidate);
            ids(super::review_entries(
                &DefaultPolicy,
                &settings,
                NOW_MS,
                candidates,
                &Roots { entries: roots, complete: true },
            ))
        };
        let layer = layer(1, OLD_MS, OLD_MS);
        assert!(review(&[layer.clone(), index(2, OLD_MS + 1000, NOW_MS)]).is_empty(), "{settings:?}");
        assert_eq!(review(&[layer]), [1], "{settings:?}");
    }
}

fn wished(candidate: Candidate, wish: Wish) -> Candidate {
    Candidate { wish: Some(wish), ..candidate }
}

/// Reviews one candidate with these roots.
fn cause_of(settings: &Settings, candidate: Candidate, roots: Vec<Entry>) -> Option<Cause> {
    let roots = Roots { entries: roots, complete: true };
    let mut verdicts = super::review_entries(&DefaultPolicy, settings, NOW_MS, [candidate], &roots);
    verdicts.pop().map(|verdict| verdict.cause)
}

#[test]
fn a_rule_keeps_what_is_unused_and_removes_what_is_not() {
    let settings = settings(Some(DAY_MS));
    let rule = || Wish::Remove("nightly".to_owned());
    let unused = || entry(1, 0, 0, ContentState::Intact);
    assert_eq!(cause_of(&settings, unused(), Vec::new()), Some(Cause::Age));
    assert_eq!(cause_of(&settings, wished(unused(), Wish::Keep), Vec::new()), None);
    let removed = cause_of(&settings, wished(unused(), rule()), Vec::new());
    assert_eq!(removed, Some(Cause::Rule("nightly".to_owned())));
    // What a rule wants is no more than a wish: a URL that was handed out is good.
    let used = entry(1, 0, NOW_MS - 1, ContentState::Intact);
    assert_eq!(cause_of(&settings, wished(used, rule()), Vec::new()), None);
    // What is broken is no entry.
    let broken = entry(1, 0, NOW_MS, ContentState::Broken);
    assert_eq!(cause_of(&settings, wished(broken, Wish::Keep), Vec::new()), Some(Cause::Stale));
}

/// Then nobody knows which indexes name it.
#[test]
fn a_layer_whose_lifetime_is_over_stays_once_the_rules_are_gone() {
    let without = settings(None);
    let with = Settings { has_retention_rules: true, ..settings(None) };
    let candidate = |key: &str| {
        let candidate = entry(1, 0, 0, ContentState::Intact);
        let slot = Slot { key: key.to_owned(), ..slot() };
        let entry = Entry { slot, ..candidate.entry.clone() };
        wished(Candidate { entry, ..candidate }, Wish::Remove("lifetime".to_owned()))
    };
    let layer = || candidate("buildkit-blob-1-x");
    assert_eq!(cause_of(&without, layer(), Vec::new()), None);
    let over = Some(Cause::Rule("lifetime".to_owned()));
    assert_eq!(cause_of(&with, layer(), Vec::new()), over);
    assert_eq!(cause_of(&without, candidate("k"), Vec::new()), over);
}

#[test]
fn a_rule_removes_no_layer_that_an_index_may_name() {
    let settings = Settings { has_retention_rules: true, ..settings(None) };
    let of_buildkit = |id: u64, key: &str| {
        let candidate = entry(id, NOW_MS - 3 * DAY_MS, NOW_MS - 3 * DAY_MS, ContentState::Intact);
        let slot = Slot { key: key.to_owned(), ..slot() };
        Candidate { entry: Entry { slot, ..candidate.entry.clone() }, ..candidate }
    };
    let (layer, index) = (of_buildkit(1, "buildkit-blob-1-x"), of_buildkit(2, "index-main"));
    let roots =
        select_entries(&DefaultPolicy, &settings, NOW_MS, [index.entry.clone(), layer.entry.clone()]).roots;
    assert_eq!(roots, [2], "an index is a root, however young");
    let wish = || Wish::Remove("all".to_owned());
    assert_eq!(cause_of(&settings, wished(layer.clone(), wish()), vec![index.entry]), None);
    assert!(cause_of(&settings, wished(layer, wish()), Vec::new()).is_some());
}
