//! Promises about history.

use larder_common::TenantName;

use super::{Case, unique};
use crate::catalogue::{
    HOUR_MS, HistoryBatch, HistoryBy, HistoryCounts, HistoryKind, HistoryQuery, HistoryRow, HistorySum,
};

fn counts(hits: u64) -> HistoryCounts {
    HistoryCounts {
        hits,
        misses: 2 * hits,
        stale: 3 * hits,
        served_bytes: hits << 40,
        saved_bytes: 5 * hits,
        evicted_bytes: 6 * hits,
        ghosts: [7 * hits, 8 * hits, 9 * hits],
    }
}

fn row(case: &Case, hour: u64, name: &str, hits: u64) -> HistoryRow {
    let (repository, kind) = (case.repository.clone(), HistoryKind::Tool);
    HistoryRow { hour, repository, kind, name: name.to_owned(), counts: counts(hits) }
}

fn batch(writer: &str, number: u64, rows: Vec<HistoryRow>) -> HistoryBatch {
    HistoryBatch { writer: writer.to_owned(), number, at_ms: 100 * HOUR_MS, rows }
}

async fn sums(case: &Case, by: HistoryBy, kind: HistoryKind) -> Vec<HistorySum> {
    let repository = Some(case.repository.clone());
    let query = HistoryQuery { kind, from_hour: 0, repository, by, limit: 100 };
    case.index.sum_history(&query).await.unwrap()
}

async fn by_name(case: &Case) -> Vec<(String, HistoryCounts)> {
    let found = sums(case, HistoryBy::Name, HistoryKind::Tool).await;
    found.into_iter().map(|sum| (sum.name, sum.counts)).collect()
}

pub(crate) async fn batches_add_up(case: &Case) {
    let (one, other) = (unique("one"), unique("other"));
    let index = &case.index;
    let rows = vec![row(case, 90, "npm", 1), row(case, 90, "go", 2)];
    index.add_history(&batch(&one, 1, rows)).await.unwrap();
    index.add_history(&batch(&other, 1, vec![row(case, 90, "npm", 10)])).await.unwrap();
    // Numbers may have gaps, and a batch may have a row twice.
    let twice = vec![row(case, 90, "npm", 100), row(case, 90, "npm", 1_000)];
    index.add_history(&batch(&one, 5, twice)).await.unwrap();
    index.add_history(&batch(&one, 6, Vec::new())).await.unwrap();
    let expected = [("npm".to_owned(), counts(1_111)), ("go".to_owned(), counts(2))];
    assert_eq!(by_name(case).await, expected);
}

pub(crate) async fn a_batch_of_history_that_is_repeated_counts_once(case: &Case) {
    let (one, other) = (unique("one"), unique("other"));
    let first = batch(&one, 1, vec![row(case, 90, "npm", 1)]);
    let second = batch(&one, 2, vec![row(case, 90, "npm", 10)]);
    for again in [&first, &first, &second, &second, &first] {
        case.index.add_history(again).await.unwrap();
    }
    assert_eq!(by_name(case).await, [("npm".to_owned(), counts(11))]);
    // What another process has under the same number is another batch.
    case.index.add_history(&HistoryBatch { writer: other, ..first }).await.unwrap();
    assert_eq!(by_name(case).await, [("npm".to_owned(), counts(12))]);
}

pub(crate) async fn sums_are_by_hour_repository_or_name(case: &Case) {
    let workflow = HistoryRow { kind: HistoryKind::Workflow, ..row(case, 91, "CI", 100) };
    let rows = vec![row(case, 90, "npm", 1), row(case, 91, "npm", 2), row(case, 91, "go", 4), workflow];
    case.index.add_history(&batch(&unique("w"), 1, rows)).await.unwrap();
    let sum = |hour, repository: &str, name: &str, hits| HistorySum {
        hour,
        repository: repository.to_owned(),
        name: name.to_owned(),
        counts: counts(hits),
    };
    let repository = &*case.repository;
    let hours = [sum(91, "", "", 6), sum(90, "", "", 1)];
    assert_eq!(sums(case, HistoryBy::Hour, HistoryKind::Tool).await, hours);
    let repositories = [sum(0, repository, "", 7)];
    assert_eq!(sums(case, HistoryBy::Repository, HistoryKind::Tool).await, repositories);
    let names = [sum(0, repository, "go", 4), sum(0, repository, "npm", 3)];
    assert_eq!(sums(case, HistoryBy::Name, HistoryKind::Tool).await, names);
    let workflows = [sum(0, repository, "CI", 100)];
    assert_eq!(sums(case, HistoryBy::Name, HistoryKind::Workflow).await, workflows);

    let query = |from_hour, limit| HistoryQuery {
        from_hour,
        limit,
        repository: Some(case.repository.clone()),
        ..HistoryQuery::default()
    };
    assert_eq!(case.index.sum_history(&query(91, 9)).await.unwrap(), hours[..1]);
    assert_eq!(case.index.sum_history(&query(92, 9)).await.unwrap(), []);
    assert_eq!(case.index.sum_history(&query(0, 1)).await.unwrap(), hours[..1]);
    let all = HistoryQuery { repository: None, by: HistoryBy::Repository, ..query(0, 10_000) };
    assert!(case.index.sum_history(&all).await.unwrap().contains(&repositories[0]));
}

pub(crate) async fn history_has_texts_of_any_kind(case: &Case) {
    let names = [&"x".repeat(255), "", " ", "NPM", "npm", "ü'\"%_\\", "a\0b"];
    let rows = names.iter().map(|name| row(case, 90, name, 1)).collect();
    case.index.add_history(&batch(&"w".repeat(64), 0, Vec::new())).await.unwrap();
    case.index.add_history(&batch(&unique("w"), 1, rows)).await.unwrap();
    let mut expected: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    expected.sort_unstable();
    let found = sums(case, HistoryBy::Name, HistoryKind::Tool).await;
    assert_eq!(found.into_iter().map(|sum| sum.name).collect::<Vec<_>>(), expected);
}

async fn hours(case: &Case) -> Vec<u64> {
    sums(case, HistoryBy::Hour, HistoryKind::Tool).await.into_iter().map(|sum| sum.hour).collect()
}

/// In a tenant of its own, because the bound is the tenant's.
pub(crate) async fn the_oldest_hours_are_forgotten(case: &Case) {
    let tenant = TenantName::parse(&unique("t")).unwrap();
    let case = &Case { index: case.index.tenant(&tenant).unwrap(), repository: unique("r") };
    let writer = unique("w");
    let rows = (1..=5).flat_map(|hour| ["a", "b"].map(|name| row(case, hour, name, 1))).collect();
    let first = batch(&writer, 1, rows);
    case.index.add_history(&first).await.unwrap();
    let trim = async |before, most, limit| case.index.trim_history(before, most, limit).await.unwrap();
    assert_eq!(trim(1, 10, 99).await, 0);
    assert_eq!(trim(2, 10, 1).await, 1);
    assert_eq!(trim(2, 10, 99).await, 1);
    assert_eq!(hours(case).await, [5, 4, 3, 2]);
    // The fourth last row is in hour 4, which stays whole.
    assert_eq!(trim(0, 3, 3).await, 3);
    assert_eq!(trim(0, 3, 99).await, 1);
    assert_eq!(trim(0, 3, 99).await, 0);
    assert_eq!(hours(case).await, [5, 4]);
    // Its writer is known as long as it wrote since.
    case.index.add_history(&first).await.unwrap();
    assert_eq!(hours(case).await, [5, 4]);
    assert_eq!(trim(101, 10, 99).await, 4);
    case.index.add_history(&first).await.unwrap();
    assert_eq!(hours(case).await, [5, 4, 3, 2, 1]);
}

pub(crate) async fn history_is_each_tenants_own(case: &Case) {
    let tenant = |name: &str| {
        let index = case.index.tenant(&TenantName::parse(&unique(name)).unwrap()).unwrap();
        Case { index, repository: case.repository.clone() }
    };
    let (one, other) = (tenant("one"), tenant("other"));
    let writer = unique("w");
    for (case, hits) in [(case, 1), (&one, 10), (&other, 100)] {
        // The same number of the same process, for each of its tenants.
        case.index.add_history(&batch(&writer, 1, vec![row(case, 90, "npm", hits)])).await.unwrap();
    }
    assert!(one.index.forget_tenant().await.unwrap());
    assert_eq!(by_name(&one).await, []);
    assert_eq!(other.index.trim_history(101, 0, 99).await.unwrap(), 1);
    assert_eq!(by_name(&other).await, []);
    assert_eq!(by_name(case).await, [("npm".to_owned(), counts(1))]);
}
