//! What the built-in policy decides, through the component: room, and explanations.

use larder_common::facts::NO_FACTS;
use larder_index::{
    Attachment, Cause, Departure, Durability, Entry, EntryId, Reservation, Slot, Trust, Within,
};
use larder_storage::ObjectName;
use tempfile::TempDir;
use tokio::task::LocalSet;

use super::{super::Guest, InstanceLimits, policy};
use crate::{
    auth::Scope,
    explain::{Found, Query},
    retention::{Candidate, ContentState, RoomBound, RoomNeeded, Tier},
    tenant::Tenant,
    testing::{NOW_MS, tenant},
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn slot(scope: &str, key: &str) -> Slot {
    Slot { repository: "1".into(), scope: scope.into(), version: "v".into(), key: key.into() }
}

async fn entry(tenant: &Tenant, slot: &Slot, trust: Trust, at_ms: u64) -> Entry {
    let reserved = tenant.index.reserve(slot, "owner", &NO_FACTS, trust, at_ms, 0).await.unwrap();
    let Reservation::Reserved(upload) = reserved else { panic!("{reserved:?}") };
    let object = ObjectName::parse(format!("p-{}", upload.name)).unwrap();
    let attachment = Attachment { object, size_bytes: 1 };
    tenant.index.attach(upload.id, &attachment, None, at_ms).await.unwrap();
    let made = tenant.index.finalize(upload.id, &attachment, &Durability::Durable, at_ms).await;
    made.unwrap().unwrap()
}

async fn candidates(tenant: &Tenant, trust: Option<Trust>) -> std::sync::Arc<[Candidate]> {
    let entries = tenant.index.least_recent(&Within::Tenant, trust, None, 100).await.unwrap();
    let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
    let details = tenant.index.entry_details(&ids).await.unwrap();
    let details = |entry: &Entry| details.iter().find(|details| details.id == entry.id).unwrap().clone();
    let candidate = |entry: Entry| Candidate {
        details: details(&entry),
        entry,
        content: ContentState::Unknown,
        newer: None,
        wish: None,
    };
    entries.into_iter().map(candidate).collect()
}

async fn with_guest(test: impl AsyncFnOnce(&Tenant, Guest)) {
    let folder = TempDir::new().unwrap();
    let tenant = tenant(folder.path());
    let run = async { test(&tenant, policy(InstanceLimits::default()).start(&tenant)).await };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn a_pull_request_makes_room_of_low_trust_only() {
    with_guest(async |tenant, guest| {
        let trusted = entry(tenant, &slot("main", "k"), Trust::Full, NOW_MS).await;
        let own = entry(tenant, &slot("pr", "k"), Trust::Low, NOW_MS + 1).await;
        let needed = |trust| RoomNeeded {
            slot: Some(slot("pr", "new")),
            trust,
            bound: RoomBound::Repository("1".into()),
            bytes: 1,
        };
        let scope = Within::Scope { repository: "1".into(), scope: "pr".into() };
        let repository = Within::Repository("1".into());
        let low = Some(Trust::Low);
        assert_eq!(
            guest.room_tiers(&needed(Trust::Low)).await.unwrap(),
            [Tier { within: scope, trust: low }, Tier { within: repository, trust: low }]
        );
        let all = candidates(tenant, None).await;
        let later = NOW_MS + DAY_MS;
        assert_eq!(guest.make_room(later, &needed(Trust::Low), all.clone()).await.unwrap(), [own.id]);
        let chosen = guest.make_room(later, &needed(Trust::Full), all).await.unwrap();
        assert_eq!(chosen, [trusted.id, own.id], "the least recently used first");
    })
    .await;
}

#[tokio::test]
async fn a_layer_is_chosen_after_the_index_that_may_name_it() {
    with_guest(async |tenant, guest| {
        let layer = entry(tenant, &slot("main", "buildkit-blob-1-sha256:00"), Trust::Full, NOW_MS).await;
        let index = entry(tenant, &slot("main", "index-buildkit-1-0#1"), Trust::Full, NOW_MS + 1).await;
        let needed = RoomNeeded { slot: None, trust: Trust::Full, bound: RoomBound::Tenant, bytes: 1 };
        let all = candidates(tenant, None).await;
        let alone = all.iter().filter(|candidate| candidate.entry.id == layer.id).cloned().collect();
        let later = NOW_MS + DAY_MS;
        assert!(guest.make_room(later, &needed, alone).await.unwrap().is_empty());
        assert_eq!(guest.make_room(later, &needed, all).await.unwrap(), [index.id, layer.id]);
    })
    .await;
}

#[tokio::test]
async fn a_lookup_is_explained() {
    with_guest(async |tenant, guest| {
        let gone = entry(tenant, &slot("main", "k"), Trust::Full, NOW_MS).await;
        let departure = Departure { cause: Cause::Rule("mine".into()), at_ms: NOW_MS + 1 };
        tenant.index.delete_entry(gone.id, &departure).await.unwrap();
        let query = Query {
            repository: "1".into(),
            scopes: vec![Scope { name: "main".into(), read: true, write: true }],
            version: None,
            keys: vec!["k".into()],
        };
        let told = guest.explain(NOW_MS, query).await.unwrap();
        assert_eq!((told.version.as_deref(), told.cause.as_deref()), (Some("v"), Some("deleted")));
        let found: Vec<_> = told.attempts.iter().map(|attempt| (attempt.is_prefix, attempt.found)).collect();
        assert_eq!(found, [(false, Found::Nothing), (true, Found::Nothing)]);
        let deleted = told.near[0].deleted.as_ref().unwrap();
        assert_eq!((deleted.at_ms, deleted.cause.as_str()), (NOW_MS + 1, "rule:mine"));
    })
    .await;
}
