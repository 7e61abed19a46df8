//! Promises about all of a tenant: each case has a tenant of its own.

use larder_common::TenantName;

use super::{
    Case, DELETED, unique,
    within::{entry, least_recent},
};
use crate::{EntryId, MatchKind, NO_FACTS, Slot, Trust, Within};

fn own(case: &Case) -> Case {
    let name = TenantName::parse(&unique("t")).unwrap();
    Case { index: case.index.tenant(&name).unwrap(), repository: case.repository.clone() }
}

pub(crate) async fn entries_of_all_repositories_are_listed_by_their_last_use(case: &Case) {
    let case = &own(case);
    let mut made = Vec::new();
    for (repository, trust, at_ms) in [("a", Trust::Full, 3), ("b", Trust::Low, 2), ("a", Trust::Low, 1)] {
        let slot = Slot { repository: repository.to_owned(), ..case.slot(&at_ms.to_string(), "v", "k") };
        made.push(entry(case, &slot, &NO_FACTS, trust, at_ms).await.id);
    }
    assert_eq!(least_recent(case, &Within::Tenant, None).await, [made[2], made[1], made[0]]);
    assert_eq!(least_recent(case, &Within::Tenant, Some(Trust::Low)).await, [made[2], made[1]]);
    assert_eq!(least_recent(case, &Within::Repository("a".to_owned()), None).await, [made[2], made[0]]);
}

pub(crate) async fn the_earliest_departed_are_forgotten_once_nothing_is_stored(case: &Case) {
    let case = &own(case);
    let mut ids = Vec::new();
    for number in 0..5 {
        let entry = case.entry(&format!("k{number}")).await;
        case.index.delete_entry(entry.id, &DELETED).await.unwrap();
        ids.push(entry.id);
    }
    // Each has an object that may still be stored.
    assert_eq!(case.index.trim_departed(0, 100).await.unwrap(), 0);
    assert_eq!(case.index.trim_departed(2, 100).await.unwrap(), 0);
    assert_eq!(
        case.index.find_departed(&case.repository, "k", MatchKind::Prefix, 100).await.unwrap().len(),
        5
    );
}

/// `removed` does to the database what a call after the removal of these entries' objects does.
pub(crate) async fn the_earliest_departed_are_forgotten(case: &Case, removed: impl Fn(&[EntryId])) {
    let mut ids = Vec::new();
    for number in 0..5 {
        let entry = case.entry(&format!("k{number}")).await;
        case.index.delete_entry(entry.id, &DELETED).await.unwrap();
        ids.push(entry.id);
    }
    let left = async || -> Vec<EntryId> {
        let left = case.index.find_departed(&case.repository, "k", MatchKind::Prefix, 100).await.unwrap();
        left.into_iter().map(|departed| departed.entry).collect()
    };
    let trim = async |most, limit| case.index.trim_departed(most, limit).await.unwrap();
    removed(&ids[1..4]);
    assert_eq!(trim(5, 100).await, 0);
    assert_eq!(trim(2, 1).await, 1);
    assert_eq!(left().await, [ids[4], ids[3], ids[2], ids[0]]);
    assert_eq!(trim(2, 100).await, 1);
    assert_eq!(left().await, [ids[4], ids[3], ids[0]]);
    assert_eq!(trim(2, 100).await, 0);
    assert_eq!(trim(0, 100).await, 1);
    assert_eq!(left().await, [ids[4], ids[0]], "they may still be stored");
    removed(&ids);
    assert_eq!(trim(0, 100).await, 2);
    assert_eq!(left().await, []);
}

pub(crate) async fn the_departed_are_each_tenants_own(case: &Case) {
    let (one, other) = (own(case), own(case));
    let (left, stays) = (one.entry("k").await, other.entry("k").await);
    assert!(!other.index.delete_entry(left.id, &DELETED).await.unwrap());
    assert!(one.index.delete_entry(left.id, &DELETED).await.unwrap());
    for kind in [MatchKind::Exact, MatchKind::Prefix] {
        assert_eq!(other.index.find_departed(&case.repository, "k", kind, 9).await.unwrap(), []);
        assert_eq!(one.index.find_departed(&case.repository, "k", kind, 9).await.unwrap().len(), 1);
        let near = other.index.list_near(&case.repository, "k", kind, 9).await.unwrap();
        assert_eq!(near.iter().map(|near| near.entry.id).collect::<Vec<_>>(), [stays.id]);
        assert_eq!(one.index.list_near(&case.repository, "k", kind, 9).await.unwrap(), []);
    }
    assert_eq!(one.index.set_quarantined(&[stays.id], Some(1)).await.unwrap(), 0);
    assert_eq!(least_recent(&other, &Within::Tenant, None).await, [stays.id]);
    assert_eq!(least_recent(&one, &Within::Tenant, None).await, []);
    let upload = one.reserve(&one.key("u"), 1_000).await;
    let in_scope = async |case: &Case| {
        case.index.uploads_in_scope(&case.repository, "main", crate::UploadId(0), 9).await.unwrap()
    };
    assert_eq!(in_scope(&one).await, [upload]);
    assert_eq!(in_scope(&other).await, []);
    assert_eq!(other.index.uploads_near(&case.repository, "u", MatchKind::Exact, 9).await.unwrap(), []);
}
