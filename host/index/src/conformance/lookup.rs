//! Promises about searches and about reading an entry.

use super::{Case, DELETED, exact, prefix, probe};
use crate::{Durability, EntryId, EntryUses, MatchKind};

pub(crate) async fn finds_the_entry_with_exactly_this_key(case: &Case) {
    let made = case.entry("deps-1").await;
    case.entry("deps-12").await;
    let probes = [exact("deps-1")];
    let found = case.index.find(&case.repository, "v", &probes, &[]).await;
    assert_eq!(found.unwrap(), Some(made));
    assert_eq!(case.exact("deps-").await, None);
    assert_eq!(case.exact("").await, None);
}

pub(crate) async fn finds_no_entry_in_another_repository_scope_or_version(case: &Case) {
    case.entry("k").await;
    for kind in [MatchKind::Exact, MatchKind::Prefix] {
        let elsewhere = [probe("main2", "k", kind), probe("Main", "k", kind), probe("", "k", kind)];
        assert_eq!(case.find(&elsewhere, &[]).await, None);
        let here = [probe("main", "k", kind)];
        for (repository, version) in
            [("other", "v"), ("", "v"), (&*case.repository, "V"), (&*case.repository, "")]
        {
            let found = case.index.find(repository, version, &here, &[]).await;
            assert_eq!(found.unwrap(), None, "{repository:?} {version:?}");
        }
    }
}

pub(crate) async fn finds_nothing_without_probes(case: &Case) {
    case.entry("k").await;
    assert_eq!(case.find(&[], &[]).await, None);
}

pub(crate) async fn the_first_probe_with_a_match_wins(case: &Case) {
    case.entry("b-old").await;
    case.entry("a").await;
    case.entry("b-new").await;
    let probes = [exact("missing"), prefix("missing"), prefix("b-o"), exact("a"), prefix("b")];
    assert_eq!(case.find(&probes, &[]).await.as_deref(), Some("b-old"));
    assert_eq!(case.find(&probes[3..], &[]).await.as_deref(), Some("a"));
    let other = case.slot("other", "v", "only-there");
    case.entry_at(&other, &Durability::Durable, 1).await;
    let probes = [probe("other", "only", MatchKind::Prefix), exact("a")];
    assert_eq!(case.find(&probes, &[]).await.as_deref(), Some("only-there"));
}

pub(crate) async fn a_prefix_finds_the_entry_made_last_also_within_one_millisecond(case: &Case) {
    // Neither the order of the keys nor the clock tells which is the newest.
    for (key, now_ms) in [("p-z", 5_000), ("p-m", 5_000), ("p-a", 5_000), ("p-k", 4_000)] {
        case.entry_at(&case.key(key), &Durability::Durable, now_ms).await;
        assert_eq!(case.prefix("p-").await.as_deref(), Some(key));
    }
}

pub(crate) async fn a_prefix_ignores_the_last_use(case: &Case) {
    let old = case.entry("p-old").await;
    case.entry("p-new").await;
    case.index.touch_entries(&[EntryUses::once(old.id, 9_000)]).await.unwrap();
    assert_eq!(case.prefix("p-").await.as_deref(), Some("p-new"));
}

pub(crate) async fn an_entry_that_was_made_again_is_the_newest(case: &Case) {
    let first = case.entry("p-1").await;
    case.entry("p-2").await;
    assert!(case.index.delete_entry(first.id, &DELETED).await.unwrap());
    case.entry("p-1").await;
    assert_eq!(case.prefix("p-").await.as_deref(), Some("p-1"));
}

pub(crate) async fn a_prefix_matches_the_whole_key_too(case: &Case) {
    case.entry("deps").await;
    assert_eq!(case.prefix("deps").await.as_deref(), Some("deps"));
    assert_eq!(case.prefix("deps-").await, None);
}

pub(crate) async fn an_empty_prefix_finds_the_newest_of_the_scope(case: &Case) {
    assert_eq!(case.prefix("").await, None);
    case.entry("z").await;
    case.entry("a").await;
    let other = case.slot("other", "v", "m");
    case.entry_at(&other, &Durability::Durable, 9_000).await;
    assert_eq!(case.prefix("").await.as_deref(), Some("a"));
}

pub(crate) async fn wildcards_are_literal(case: &Case) {
    for key in ["a%b", "a_b", "a\\b", "a*b", "a?b", "a[b]", "a'b", "a\"b"] {
        case.entry(key).await;
    }
    case.entry("axb").await;
    for start in ["a%", "a_", "a\\", "a*", "a?", "a[", "a'", "a\""] {
        let found = case.prefix(start).await.expect("the entry");
        assert!(found.starts_with(start), "{start} found {found}");
    }
    for none in ["%", "_", "\\", "a%%", "a__", "a\\\\", "*", "a[b-z]", "%b"] {
        assert_eq!(case.prefix(none).await, None, "{none}");
        assert_eq!(case.exact(none).await, None, "{none}");
    }
}

pub(crate) async fn keys_with_nul_bytes_are_whole(case: &Case) {
    let keys = ["a", "a\0", "a\0b", "a\0c", "\0", "\0\0"];
    for key in keys {
        case.entry(key).await;
    }
    for key in keys {
        assert_eq!(case.exact(key).await.as_deref(), Some(key), "{key:?}");
    }
    assert_eq!(case.prefix("a\0").await.as_deref(), Some("a\0c"));
    assert_eq!(case.prefix("a").await.as_deref(), Some("a\0c"));
    assert_eq!(case.prefix("\0").await.as_deref(), Some("\0\0"));
    let slot = case.slot("s\0cope", "v\0", "k");
    let made = case.entry_at(&slot, &Durability::Durable, 1).await;
    assert_eq!(made.slot, slot);
    let probes = [probe("s\0cope", "k", MatchKind::Exact)];
    let found = case.index.find(&case.repository, "v\0", &probes, &[]).await;
    assert_eq!(found.unwrap(), Some(made));
    assert_eq!(case.index.find(&case.repository, "v", &probes, &[]).await.unwrap(), None);
}

pub(crate) async fn keys_in_any_script_are_whole(case: &Case) {
    for key in ["缓存-依赖", "🦀🗄️", "\u{10FFFF}", "\u{D7FF}\u{E000}", " \t\r\n", "naïve"] {
        let made = case.entry(key).await;
        assert_eq!(made.slot.key, key);
        assert_eq!(case.exact(key).await.as_deref(), Some(key));
        let start = key.chars().next().unwrap().to_string();
        assert_eq!(case.prefix(&start).await.as_deref(), Some(key));
    }
}

pub(crate) async fn unicode_forms_are_not_unified(case: &Case) {
    case.entry("caf\u{e9}").await;
    assert_eq!(case.exact("cafe\u{301}").await, None);
    case.entry("cafe\u{301}").await;
    assert_eq!(case.prefix("cafe").await.as_deref(), Some("cafe\u{301}"));
    assert_eq!(case.exact("caf\u{e9}").await.as_deref(), Some("caf\u{e9}"));
}

pub(crate) async fn the_end_of_a_prefix_range_is_where_the_prefix_ends(case: &Case) {
    let inside = ["\u{10FFFF}", "\u{10FFFF}\u{10FFFF}", "a\u{7f}", "a\u{80}", "a\u{10FFFF}z", "b"];
    for key in inside {
        case.entry(key).await;
    }
    assert_eq!(case.prefix("a").await.as_deref(), Some("a\u{10FFFF}z"));
    assert_eq!(case.prefix("a\u{7f}").await.as_deref(), Some("a\u{7f}"));
    assert_eq!(case.prefix("a\u{80}").await.as_deref(), Some("a\u{80}"));
    assert_eq!(case.prefix("a\u{10FFFF}").await.as_deref(), Some("a\u{10FFFF}z"));
    let last = Some("\u{10FFFF}\u{10FFFF}");
    assert_eq!(case.prefix("\u{10FFFF}").await.as_deref(), last);
    assert_eq!(case.prefix("\u{10FFFF}\u{10FFFF}").await.as_deref(), last);
}

pub(crate) async fn trailing_spaces_count(case: &Case) {
    case.entry("k").await;
    assert_eq!(case.exact("k ").await, None);
    case.entry("k ").await;
    assert_eq!(case.exact("k").await.as_deref(), Some("k"));
    assert_eq!(case.exact("k ").await.as_deref(), Some("k "));
}

pub(crate) async fn long_keys_are_told_apart_at_their_ends(case: &Case) {
    // 512 bytes is the protocol's limit of a key.
    let (one, two) = (format!("{}1", "k".repeat(511)), format!("{}2", "k".repeat(511)));
    case.entry(&one).await;
    case.entry(&two).await;
    assert_eq!(case.exact(&one).await, Some(one.clone()));
    assert_eq!(case.prefix(&one).await, Some(one));
    assert_eq!(case.prefix(&two[..511]).await, Some(two));
}

pub(crate) async fn a_skipped_entry_is_absent_for_its_key(case: &Case) {
    let entry = case.entry("k").await;
    case.entry("other").await;
    assert_eq!(case.find(&[exact("k")], &[entry.id]).await, None);
    let probes = [exact("k"), exact("other")];
    assert_eq!(case.find(&probes, &[entry.id]).await.as_deref(), Some("other"));
}

pub(crate) async fn a_skipped_entry_is_absent_for_a_prefix(case: &Case) {
    let mut ids = Vec::new();
    for key in ["p-1", "p-2", "p-3"] {
        ids.push(case.entry(key).await.id);
    }
    case.entry("q").await;
    let found = |skip: Vec<EntryId>| async move { case.find(&[prefix("p-")], &skip).await };
    assert_eq!(found(vec![]).await.as_deref(), Some("p-3"));
    assert_eq!(found(vec![ids[2]]).await.as_deref(), Some("p-2"));
    assert_eq!(found(vec![ids[2], ids[0]]).await.as_deref(), Some("p-2"));
    assert_eq!(found(vec![ids[2], ids[1]]).await.as_deref(), Some("p-1"));
    assert_eq!(found(vec![ids[1], ids[2], ids[0], ids[1]]).await, None);
    assert_eq!(found(vec![EntryId(0), EntryId(u64::MAX)]).await.as_deref(), Some("p-3"));
}

pub(crate) async fn a_thousand_probes_and_a_thousand_skipped_are_a_search(case: &Case) {
    let skipped = case.entry("p-1").await.id;
    case.entry("last").await;
    let mut skip: Vec<_> = (0..999).map(|number| EntryId(u64::MAX - number)).collect();
    skip.push(skipped);
    let mut probes: Vec<_> = (0..998).map(|number| prefix(&format!("none-{number}"))).collect();
    probes.extend([prefix("p-"), prefix("last")]);
    assert_eq!(case.find(&probes, &skip).await.as_deref(), Some("last"));
}

pub(crate) async fn skipping_all_with_a_prefix_goes_on_to_the_next_probe(case: &Case) {
    let skipped = [case.entry("p-1").await.id, case.entry("p-2").await.id];
    case.entry("q-1").await;
    let probes = [prefix("p-"), prefix("q-")];
    assert_eq!(case.find(&probes, &skipped).await.as_deref(), Some("q-1"));
}

pub(crate) async fn a_prefix_among_many_others_is_found_from_either_side(case: &Case) {
    case.entry("rare-1").await;
    case.entry("rare-2").await;
    case.entry("rare-0").await;
    for number in 0..200 {
        case.entry(&format!("common-{number:03}")).await;
    }
    case.entry("late").await;
    let skipped = case.entry("rare-9").await.id;
    // A prefix with few, old keys; and one with many keys, the newest of them recent.
    assert_eq!(case.find(&[prefix("rare-")], &[skipped]).await.as_deref(), Some("rare-0"));
    assert_eq!(case.prefix("common-").await.as_deref(), Some("common-199"));
    assert_eq!(case.prefix("common-1").await.as_deref(), Some("common-199"));
    assert_eq!(case.prefix("common-0").await.as_deref(), Some("common-099"));
    assert_eq!(case.prefix("l").await.as_deref(), Some("late"));
    assert_eq!(case.prefix("common-2").await, None);
}

pub(crate) async fn an_entry_is_returned_by_number(case: &Case) {
    let entry = case.entry("k").await;
    assert_eq!(case.index.get_entry(entry.id).await.unwrap(), Some(entry));
    assert_eq!(case.index.get_entry(EntryId(0)).await.unwrap(), None);
    assert_eq!(case.index.get_entry(EntryId(u64::MAX)).await.unwrap(), None);
}
