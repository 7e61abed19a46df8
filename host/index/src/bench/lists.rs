//! What operators' lists cost in a database of a thousand entries and in one of a million. See `bench`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::sync::Arc;

use super::{REPOSITORY, cost};
use crate::{
    Area, EntryOrder, Index, MatchKind, Within,
    catalogue::{
        EntryFilter, HistoryBatch, HistoryBy, HistoryCounts, HistoryKind, HistoryQuery, HistoryRow, browse,
    },
    conformance::block_on,
};

/// Most CPU time of a list in the large database.
const MOST_SECONDS: f64 = 0.05;

const ORDERS: [EntryOrder; 3] = [EntryOrder::Created, EntryOrder::LastUsed, EntryOrder::Size];

/// Hours, repositories and names of the history: as many rows as a year of a busy server has.
const HISTORY: [u64; 3] = [24 * 7, 20, 10];

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Every kind of filter: few and many entries, and none at all.
fn filters() -> Vec<(&'static str, EntryFilter)> {
    let none = EntryFilter::default;
    let repository = || EntryFilter { repository: text(REPOSITORY), ..none() };
    vec![
        ("everything", none()),
        ("a repository", repository()),
        ("another repository", EntryFilter { repository: text("7"), ..none() }),
        ("the default branch", EntryFilter { scope: text("main"), ..repository() }),
        ("a pull request", EntryFilter { scope: text("refs/pull/5/merge"), ..repository() }),
        ("a scope anywhere", EntryFilter { scope: text("refs/pull/5/merge"), ..none() }),
        ("a version", EntryFilter { version: text("v"), ..none() }),
        ("no version", EntryFilter { version: text("w"), ..repository() }),
        ("a key", EntryFilter { key: text("linux-0000555"), ..none() }),
        ("a key of a repository", EntryFilter { key: text("linux-0000555"), ..repository() }),
        ("a common prefix", EntryFilter { key_prefix: text("linux-"), ..none() }),
        (
            "a common prefix in a scope",
            EntryFilter { key_prefix: text("linux-"), scope: text("refs/pull/5/merge"), ..repository() },
        ),
        ("a rare prefix", EntryFilter { key_prefix: text("linux-000055"), ..repository() }),
    ]
}

fn write_history(index: &dyn Index) {
    let [hours, repositories, names] = HISTORY;
    for hour in 0..hours {
        let rows = (0..repositories * names).map(|number| HistoryRow {
            hour,
            repository: (number / names).to_string(),
            kind: HistoryKind::Tool,
            name: format!("tool-{}", number % names),
            counts: HistoryCounts { hits: number, ..HistoryCounts::default() },
        });
        let batch =
            HistoryBatch { writer: "bench".to_owned(), number: hour + 1, at_ms: 1, rows: rows.collect() };
        block_on(index.add_history(&batch)).unwrap();
    }
}

/// Measures each list in both databases, and returns those that take too long in the large one. `cpu` is as
/// that of [`super::compare`].
pub(crate) fn compare(what: &str, indexes: [&Arc<dyn Index>; 2], cpu: impl Fn() -> f64) -> Vec<String> {
    indexes.iter().for_each(|index| write_history(&***index));
    let mut slow = Vec::new();
    let mut measure = |name: &str, make: &dyn Fn(&dyn Index)| {
        let [small, large] = indexes.map(|index| cost(5, &|| make(&**index), &cpu));
        println!("{what}: {name:55} {:9.3} ms {:9.3} ms", small * 1e3, large * 1e3);
        if large > MOST_SECONDS {
            slow.push(name.to_owned());
        }
    };
    for (name, filter) in filters() {
        for order in ORDERS {
            for descending in [false, true] {
                measure(&format!("list of {name}, {order:?} {descending}"), &|index| {
                    block_on(browse(index, &filter, (order, descending), None, 100)).unwrap();
                });
            }
        }
    }
    for by in [HistoryBy::Hour, HistoryBy::Repository, HistoryBy::Name] {
        measure(&format!("history by {by:?}"), &|index| {
            let query = HistoryQuery { by, limit: 1_000, ..HistoryQuery::default() };
            block_on(index.sum_history(&query)).unwrap();
        });
    }
    measure("sums of scopes", &|index| {
        block_on(index.list_usage(&Area::Repository(REPOSITORY.to_owned()), 1_000)).unwrap();
        block_on(index.usage_of(&Area::Tenant)).unwrap();
    });
    measure("what explain asks", &|index| {
        block_on(index.list_near(REPOSITORY, "linux-", MatchKind::Prefix, 200)).unwrap();
        block_on(index.uploads_near(REPOSITORY, "linux-", MatchKind::Prefix, 200)).unwrap();
        block_on(index.find_departed(REPOSITORY, "linux-", MatchKind::Prefix, 200)).unwrap();
    });
    // Linear in what they count, so only printed.
    let repository = REPOSITORY.to_owned();
    let scope = Within::Scope { repository: repository.clone(), scope: "main".to_owned() };
    for within in [Within::Tenant, Within::Repository(repository), scope] {
        let count = |index: &Arc<dyn Index>| {
            let _ = block_on(index.count_entries(&within)).unwrap();
        };
        let [small, large] = indexes.map(|index| cost(2, || count(index), &cpu));
        println!("{what}: count within {within:?} {:9.3} ms {:9.3} ms", small * 1e3, large * 1e3);
    }
    slow
}
