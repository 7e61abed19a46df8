//! Traces by hand, and what must come of them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, fs, slice};

use larder_common::event::{Event, EventKind};
use larder_rules::Source;
use proptest::{collection::vec, prelude::ProptestConfig, prop_assert, proptest};
use tempfile::TempDir;

use super::*;
use crate::config::Config;

const MAIN: &str = "refs/heads/main";
const PULL_REQUEST: &str = "refs/pull/1/merge";
/// When the traces begin.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// Events, ten seconds apart.
#[derive(Default)]
struct Script(Vec<Event>);

impl Script {
    fn event(&mut self, kind: EventKind, outcome: &str, scopes: &[&str], key: &str) -> &mut Event {
        let time_ms = BEGIN_MS + 10_000 * self.0.len() as u64;
        self.0.push(Event {
            tenant: "default".to_owned(),
            outcome: outcome.to_owned(),
            repository: "1".to_owned(),
            version: Some("v".to_owned()),
            key: Some(key.to_owned()),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..Event::new(kind, time_ms)
        });
        self.0.last_mut().unwrap()
    }

    fn look_up(mut self, key: &str) -> Self {
        self.event(EventKind::Lookup, "miss", &["refs/heads/main=rw"], key);
        self
    }

    /// A look-up that found an entry of before the trace.
    fn found(mut self, key: &str, id: u64, size: u64) -> Self {
        let event = self.event(EventKind::Lookup, "hit", &["refs/heads/main=rw"], key);
        (event.scope, event.entry, event.size) = (Some(MAIN.to_owned()), Some(id), Some(size));
        self
    }

    fn save(self, key: &str, size: u64) -> Self {
        self.save_in(MAIN, key, size)
    }

    fn save_in(mut self, scope: &str, key: &str, size: u64) -> Self {
        let id = 1000 + self.0.len() as u64;
        let event = self.event(EventKind::Finalize, "finalized", &[&format!("{scope}=rw")], key);
        (event.scope, event.entry, event.size) = (Some(scope.to_owned()), Some(id), Some(size));
        self
    }

    fn saves(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |script, key| script.save(key, 100))
    }

    fn look_ups(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |script, key| script.look_up(key))
    }

    fn play(self, contender: &Contender, size_bytes: u64) -> Outcome {
        play(&Trace::of(self.0).unwrap(), contender, size_bytes)
    }
}

fn play(trace: &Trace, contender: &Contender, size_bytes: u64) -> Outcome {
    let config = Config::load(None, std::iter::empty()).unwrap();
    replay(&config, trace, contender, &Options { size_bytes, compiled: None }).unwrap()
}

fn preset(preset: Preset) -> Contender {
    Contender::Preset(preset)
}

/// Look-ups, hits, evictions.
fn counts(outcome: &Outcome) -> (u64, u64, u64) {
    (outcome.lookups, outcome.hits, outcome.evictions)
}

fn causes(outcome: &Outcome) -> Vec<(&str, u64)> {
    outcome.misses.iter().map(|(cause, count)| (cause.as_str(), *count)).collect()
}

#[test]
fn lru_lets_go_what_was_not_used_for_longest() {
    let script = Script::default().saves(&["a", "b", "c"]).look_up("a").save("d", 100);
    let outcome = script.look_ups(&["b", "a", "e"]).play(&preset(Preset::Lru), 300);
    assert_eq!(counts(&outcome), (4, 2, 1));
    assert_eq!(causes(&outcome), [("evicted", 1), ("never-saved", 1)]);
    assert_eq!((outcome.bytes_served, outcome.saves, outcome.bytes_evicted), (200, 4, 100));
    let of_a = outcome.keys[&("1".to_owned(), "a".to_owned())];
    assert_eq!(of_a, KeyOutcome { lookups: 2, hits: 2, bytes: 200 });
    assert_eq!(outcome.series.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1)), (4, 2));
}

#[test]
fn s3_fifo_keeps_what_was_used_when_much_is_saved_once() {
    let script = || {
        let script = Script::default().saves(&["a", "b"]).look_ups(&["a", "b"]);
        script.saves(&["c", "d", "e", "f"]).look_ups(&["a", "b", "c"])
    };
    assert_eq!(counts(&script().play(&preset(Preset::S3Fifo), 300)), (5, 4, 3));
    assert_eq!(counts(&script().play(&preset(Preset::Lru), 300)), (5, 2, 3));
}

#[test]
fn size_aware_lets_the_large_one_go() {
    const KIB: u64 = 1024;
    let script = || {
        let script = Script::default().save("small-1", KIB).save("large", 1000 * KIB).save("small-2", KIB);
        script.save("small-3", KIB).look_ups(&["small-1", "large"])
    };
    let outcome = script().play(&preset(Preset::SizeAware), 1002 * KIB);
    assert_eq!((counts(&outcome), outcome.bytes_evicted), ((2, 1, 1), 1000 * KIB));
    let outcome = script().play(&preset(Preset::Lru), 1002 * KIB);
    assert_eq!((counts(&outcome), outcome.bytes_served), ((2, 1, 1), 1000 * KIB));
}

#[test]
fn keep_newest_keeps_two_of_a_kind() {
    let script = Script::default().saves(&["npm-1", "npm-2", "npm-3", "go-1"]);
    let outcome =
        script.look_ups(&["npm-1", "npm-2", "npm-3", "go-1"]).play(&preset(Preset::KeepNewest), 9000);
    assert_eq!((counts(&outcome), outcome.deletions), ((4, 3, 0), 1));
    assert_eq!(causes(&outcome), [("superseded", 1)]);
}

#[test]
fn the_default_branch_goes_last() {
    let script = || {
        let script = Script::default().save("a", 100).save_in(PULL_REQUEST, "b", 100);
        script.save_in(PULL_REQUEST, "c", 100).save_in(PULL_REQUEST, "d", 100).look_up("a")
    };
    assert_eq!(counts(&script().play(&preset(Preset::DefaultBranch), 300)), (1, 1, 1));
    assert_eq!(counts(&script().play(&preset(Preset::Lru), 300)), (1, 0, 1));
}

#[test]
fn the_built_in_policy_makes_room_ahead_of_need() {
    let keys = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"];
    let script = Script::default().saves(&keys).look_ups(&["k0", "k1"]);
    let outcome = script.play(&Contender::BuiltIn, 1000);
    // With 1,000 of 1,000 bytes, more than 95 %, the oldest goes: then there are 90 %.
    assert_eq!((counts(&outcome), outcome.bytes_evicted), ((2, 1, 1), 100));
    assert_eq!(causes(&outcome), [("evicted", 1)]);
}

#[test]
fn what_the_built_in_policy_has_just_served_stays_and_a_save_finds_no_room() {
    let script = Script::default().saves(&["a", "b"]).look_ups(&["a", "b"]).save("large", 950);
    let outcome = script.look_ups(&["a", "large"]).play(&Contender::BuiltIn, 1000);
    assert_eq!((counts(&outcome), outcome.no_room), ((4, 3, 0), 1));
}

#[test]
fn sweeps_delete_what_was_unused_for_too_long() {
    let mut script = Script::default().save("a", 100).look_up("a").0;
    script.last_mut().unwrap().time_ms += 100 * 24 * 60 * 60 * 1000;
    let outcome = Script(script).play(&Contender::BuiltIn, 1000);
    assert_eq!((counts(&outcome), outcome.deletions, causes(&outcome)), ((1, 0, 0), 1, vec![("age", 1)]));
}

#[test]
fn what_was_found_and_saved_before_is_there_and_is_saved_again_where_it_is_lost() {
    let script = Script::default().found("old-1", 7, 100).found("old-2", 8, 100);
    // The two do not fit together: each pushes the other out, and is saved anew.
    let outcome = script.found("old-1", 7, 100).play(&preset(Preset::Lru), 150);
    assert_eq!((counts(&outcome), outcome.saves), ((3, 0, 3), 3));
    let outcome = Script::default().found("old-1", 7, 100).play(&preset(Preset::Lru), 1000);
    assert_eq!((counts(&outcome), outcome.saves), ((1, 1, 0), 0));
}

#[test]
fn rules_decide_as_in_the_server() {
    const RULES: &str = "
        export const save = { judgeSave(caller, key) {
            return key.startsWith('tmp') ? { tag: 'refuse', val: 'no' } : { tag: 'default' }
        } }
        export const restore = { judgeHit(caller, entry) {
            return entry.key === 'old' ? { tag: 'skip', val: 'old' } : { tag: 'accept' }
        } }";
    let source = Source::new(RULES.into(), "rules.js").unwrap();
    let rules = Contender::Rules(Rules::load(source, None).unwrap());
    let script = Script::default().saves(&["tmp", "old", "new"]).look_ups(&["tmp", "old", "new"]);
    let outcome = script.play(&rules, 10_000);
    assert_eq!((counts(&outcome), outcome.refused, outcome.rule_failures), ((3, 1, 0), 1, 0));
    assert_eq!(causes(&outcome), [("never-saved", 1), ("rule", 1)]);
}

#[test]
fn rules_rank_what_makes_room_beyond_one_page() {
    const RULES: &str = "export const retention = {
        rank: (entries) => entries.map(({ key }) => (key.startsWith('keep') ? 0 : 1)) }";
    let source = Source::new(RULES.into(), "rules.js").unwrap();
    let rules = Contender::Rules(Rules::load(source, None).unwrap());
    let script = || {
        let mut script = Script::default();
        for number in 0..300 {
            script = script.save(&format!("keep-{number:03}"), 1);
        }
        script.saves(&["a", "b"]).save("large", 600).look_ups(&["keep-000", "keep-299", "a"])
    };
    let hits = |outcome: &Outcome| {
        ["keep-000", "keep-299", "a"].map(|key| outcome.keys[&("1".to_owned(), key.to_owned())].hits)
    };
    let outcome = script().play(&rules, 1000);
    // One for the save, and one ahead of need.
    assert_eq!((counts(&outcome), outcome.no_room, outcome.rule_failures), ((3, 2, 2), 0, 0));
    assert_eq!(hits(&outcome), [1, 1, 0]);
    // Without: the least recently used.
    assert_eq!(hits(&script().play(&Contender::BuiltIn, 1000)), [0, 1, 1]);
}

/// Saves `keep`, `a` and `b`, uses `a`, and needs the room of one of them. Returns which of `keep` and `b` is left.
fn left_when_room_is_made(rank: &str) -> ([u64; 2], Outcome) {
    let text = format!("export const retention = {{ rank: (entries) => entries.map({rank}) }}");
    let rules = Rules::load(Source::new(text.into(), "rules.js").unwrap(), None).unwrap();
    let script = Script::default().saves(&["keep", "a", "b"]).look_up("a").save("large", 750);
    let outcome = script.look_ups(&["keep", "b"]).play(&Contender::Rules(rules), 1000);
    let hits = ["keep", "b"].map(|key| outcome.keys[&("1".to_owned(), key.to_owned())].hits);
    (hits, outcome)
}

#[test]
fn rules_are_not_asked_to_rank_what_is_in_use() {
    let rank = "({ key }) => { if (key === 'a') throw new Error('in use'); return key === 'keep' ? 0 : 1 }";
    let (left, outcome) = left_when_room_is_made(rank);
    assert_eq!((left, outcome.rule_failures), ([1, 0], 0));
}

#[test]
fn rules_that_fail_to_rank_are_counted() {
    let (left, outcome) = left_when_room_is_made("() => { throw new Error('on purpose') }");
    assert_eq!(left, [0, 1]);
    assert!(outcome.rule_failures > 0);
}

#[test]
fn the_same_trace_gives_the_same_numbers() {
    let mut random = 1_u64;
    let mut script = Script::default();
    for _ in 0..400 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = format!("k{:02}", (random >> 40) % 30);
        script = if random >> 63 == 0 {
            script.look_up(&key)
        } else {
            script.save(&key, 50 + (random >> 50) % 100)
        };
    }
    let trace = Trace::of(script.0).unwrap();
    let presets = Preset::ALL.map(Contender::Preset);
    for contender in presets.iter().chain([&Contender::BuiltIn]) {
        let outcomes = [(); 2].map(|()| play(&trace, contender, 1000));
        assert_eq!(outcomes[0], outcomes[1], "{}", contender.name());
        assert!(outcomes[0].evictions > 0 || matches!(contender, Contender::Preset(Preset::KeepNewest)));
    }
}

#[test]
fn a_line_that_is_no_event_is_named_and_a_last_one_without_its_end_is_not_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("default.jsonl");
    let whole = serde_json::to_string(&Script::default().look_up("a").0[0]).unwrap();
    fs::write(&path, format!("{whole}\n{whole}\n{{\"time_ms\":")).unwrap();
    assert_eq!(Trace::read(&[folder.path().to_owned()], None).unwrap().events, 2);
    assert!(matches!(Trace::read(slice::from_ref(&path), Some("other")), Err(TraceError::Empty(_))));
    fs::write(&path, format!("{whole}\n{{\"time_ms\":1}}\n{whole}\n")).unwrap();
    let error = Trace::read(slice::from_ref(&path), None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2: is not an event: missing field", path.display())), "{error}");
}

#[test]
fn lines_that_are_no_event_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("default.jsonl");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        Trace::read(slice::from_ref(&path), None).map(|trace| trace.events)
    };
    let whole = serde_json::to_string(&Script::default().look_up("a").0[0]).unwrap();
    // Of a newer release: a kind and a member that this one does not know.
    let newer = whole.replace("\"lookup\"", "\"of-tomorrow\"").replace('}', ",\"more\":[1]}");
    assert_eq!(read(&format!("{whole}\n\n{newer}\n")).unwrap(), 2);
    let late = |time_ms: u64| whole.replace(&BEGIN_MS.to_string(), &time_ms.to_string());
    let long = format!("{}\n", "x".repeat(1 << 20));
    for (text, problem) in [
        (late(u64::MAX), "its time_ms is 18446744073709551615, which is after the year 2970"),
        (whole.replace("\"lookup\"", "7"), "at column "),
        (long, "it is longer than 256 KiB"),
        ("no JSON".to_owned(), "at column 2"),
    ] {
        let error = read(&format!("{whole}\n{text}\n")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:2: is not an event: ", path.display())), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    fs::write(&path, b"\x1f\x8b\x08\n").unwrap();
    assert!(Trace::read(slice::from_ref(&path), None).unwrap_err().to_string().contains("gunzip"));
    // The latest time there is, and the clock goes on.
    fs::write(&path, late(1000 * 365 * 24 * 60 * 60 * 1000) + "\n").unwrap();
    let trace = Trace::read(slice::from_ref(&path), None).unwrap();
    assert_eq!(play(&trace, &Contender::BuiltIn, 1000).lookups, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// For entries of one length: with lengths that differ, LRU promises nothing.
    #[test]
    fn a_larger_cache_never_finds_less_under_lru(keys in vec(0_u8..12, 1..60), small in 1_u64..6, more in 1_u64..6) {
        let mut script = Script::default();
        for key in keys {
            let key = format!("k{key:02}");
            script = script.look_up(&key).save(&key, 100);
        }
        let trace = Trace::of(script.0).unwrap();
        let hits = |entries: u64| play(&trace, &Contender::Preset(Preset::Lru), 100 * entries).hits;
        prop_assert!(hits(small) <= hits(small + more));
    }
}

#[test]
fn presets_have_names() {
    let names: BTreeMap<_, _> = Preset::ALL.map(|preset| (preset.name(), preset)).into_iter().collect();
    assert_eq!(names.len(), Preset::ALL.len());
}
