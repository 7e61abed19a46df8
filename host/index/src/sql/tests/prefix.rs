//! Prefixes whose entries are not found in the first steps of a search.
#![allow(clippy::print_stderr, reason = "it measures, too")]

use std::time::{Duration, Instant};

use super::{Database, Filling};
use crate::conformance::{Case, block_on, exact, prefix, probe};
use crate::{EntryId, MatchKind, Probe};

/// Enough rows for several blocks. `LARDER_TEST_ROWS` sets another number, for measurements.
fn rows() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a test")]
    std::env::var("LARDER_TEST_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(20_000)
}

/// Searches 20 times and prints the shortest time.
fn timed(case: &Case, what: &str, probes: &[Probe], skip: &[EntryId]) -> Option<String> {
    let mut fastest = Duration::MAX;
    let mut found = None;
    for _ in 0..20 {
        let started = Instant::now();
        found = block_on(case.find(probes, skip));
        fastest = fastest.min(started.elapsed());
    }
    eprintln!("{what}: {fastest:?}");
    // Far more than a search takes, and far less than reading a million rows.
    assert!(fastest < Duration::from_millis(100), "{what}: {fastest:?}");
    found
}

pub(in crate::sql) fn a_prefix_is_found_behind_many_newer_entries(database: &Database) {
    let case = Case::new(database.open());
    let count = rows();
    let filling = Filling { repository: &case.repository, count, older: "old-", newer: "new-" };
    (database.fill)(&database.url, &filling);
    let last_old = format!("old-{:07}", count / 2);
    let newest = block_on(case.index.find(&case.repository, "v", &[prefix("old-")], &[])).unwrap().unwrap();
    assert_eq!(newest.slot.key, last_old);
    let found = |what: &str, probes: &[Probe], skip: &[EntryId]| timed(&case, what, probes, skip);
    assert_eq!(found("exact", &[exact(&last_old)], &[]), Some(last_old.clone()));
    assert_eq!(found("prefix, newest", &[prefix("new-")], &[]), Some(format!("new-{count:07}")));
    assert_eq!(found("prefix, few and old", &[prefix("old-0000")], &[]), Some("old-0000999".to_owned()));
    assert_eq!(found("prefix, many and old", &[prefix("old-")], &[]), Some(last_old));
    assert_eq!(found("prefix, the oldest", &[prefix("old-000000")], &[]), Some("old-0000009".to_owned()));
    let before_it = format!("old-{:07}", count / 2 - 1);
    assert_eq!(found("prefix, many and old, one skipped", &[prefix("old-")], &[newest.id]), Some(before_it));
    let misses: Vec<_> = ["main", "other"]
        .iter()
        .flat_map(|scope| {
            let restore = (0..10).map(|n| probe(scope, &format!("old-x{n}"), MatchKind::Prefix));
            std::iter::once(probe(scope, "miss", MatchKind::Exact)).chain(restore)
        })
        .collect();
    assert_eq!(found("a miss with ten restore keys in two scopes", &misses, &[]), None);
    // If a probe has many matches and all are skipped, the next probes are tried.
    let gone: Vec<_> = [misses[0].clone(), prefix("none-"), prefix("old-0000")].into();
    assert_eq!(found("the third", &gone, &[]), Some("old-0000999".to_owned()));
}

pub(in crate::sql) fn a_long_prefix_is_compared_to_its_end(database: &Database) {
    let case = Case::new(database.open());
    let long = "k".repeat(600);
    let filling =
        Filling { repository: &case.repository, count: 9_000, older: &long, newer: &format!("{long}x") };
    (database.fill)(&database.url, &filling);
    assert_eq!(block_on(case.prefix(&long)), Some(format!("{long}x0009000")));
    assert_eq!(block_on(case.prefix(&format!("{long}0"))), Some(format!("{long}0004500")));
    assert_eq!(block_on(case.prefix(&format!("{long}00001"))), Some(format!("{long}0000199")));
    assert_eq!(block_on(case.prefix(&format!("{long}1"))), None);
    assert_eq!(block_on(case.prefix(&format!("{long}x00045"))), Some(format!("{long}x0004599")));
    let longest = "l".repeat(4096);
    block_on(case.entry(&longest));
    assert_eq!(block_on(case.exact(&longest)), Some(longest.clone()));
    assert_eq!(block_on(case.prefix(&longest[..4095])), Some(longest));
}
