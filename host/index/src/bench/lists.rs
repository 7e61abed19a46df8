//! What operators' lists cost in a database of a thousand entries and in one of a million. See `bench`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::sync::Arc;

use super::{REPOSITORY, cost};
use crate::{
    Area, EntryOrder, Index, MatchKind, Within,
    catalogue::{HistoryBatch, HistoryBy, HistoryCounts, HistoryKind, HistoryQuery, HistoryRow},
    conformance::block_on,
};

/// Most CPU time of a list in the large database.
const MOST_SECONDS: f64 = 0.05;

const ORDERS: [EntryOrder; 3] = [EntryOrder::Created, EntryOrder::LastUsed, EntryOrder::Size];

/// Hours, repositories and names of the history: as many rows as a year of a busy server has.
const HISTORY: [u64; 3] = [24 * 7, 20, 10];

/// Reads as many entries in an order as a page may look at: what `browse` does at most, whose bounds are
/// smaller in tests.
fn scan(index: &dyn Index, order: EntryOrder, descending: bool) {
    let mut after = None;
    for _ in 0..10 {
        let page = block_on(index.scan_entries(order, descending, after, 1_000)).unwrap();
        after = page.last().map(|last| order.place(last));
    }
}

/// Reads as many entries of a filter as are gathered before that, and one more, in each way.
fn gather(index: &dyn Index, way: &str) {
    const MOST: usize = 5_001;
    let repository = REPOSITORY.to_owned();
    let scope = Within::Scope { repository: repository.clone(), scope: "main".to_owned() };
    let found = match way {
        "repository" => block_on(index.least_recent(&Within::Repository(repository), None, None, MOST)),
        "scope" => block_on(index.least_recent(&scope, None, None, MOST)),
        "prefix" => block_on(index.entries_with_key("linux-", MatchKind::Prefix, MOST)),
        _ => block_on(index.list_near(REPOSITORY, "linux-", MatchKind::Prefix, MOST))
            .map(|near| near.into_iter().map(|near| near.entry).collect()),
    };
    assert!(!found.unwrap().is_empty(), "{way}");
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
    for way in ["repository", "scope", "prefix", "prefix in a repository"] {
        measure(&format!("gathering by {way}"), &|index| gather(index, way));
    }
    for order in ORDERS {
        for descending in [false, true] {
            measure(&format!("10,000 entries by {order:?}, {descending}"), &|index| {
                scan(index, order, descending);
            });
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
