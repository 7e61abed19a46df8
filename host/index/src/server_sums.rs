//! Sums of all tenants together: tests that need a database of their own, and are the same for every
//! driver.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use larder_common::TenantName;

use super::{
    Area, Bound, Caps, Durability, Index, KeyRule, Reservation, Room, Slot, Trust, Upload,
    conformance::{attachment, block_on},
};

fn tenant(index: &dyn Index, name: &str) -> Arc<dyn Index> {
    index.tenant(&TenantName::parse(name).unwrap()).unwrap()
}

fn slot(key: &str) -> Slot {
    let [repository, scope, version, key] = ["r", "s", "v", key].map(str::to_owned);
    Slot { repository, scope, version, key }
}

async fn reserve(index: &dyn Index, key: &str) -> Upload {
    match index.reserve(&slot(key), "o", &crate::NO_FACTS, Trust::Full, 1, 0).await.unwrap() {
        Reservation::Reserved(upload) => upload,
        other => panic!("the slot was taken: {other:?}"),
    }
}

async fn entry(index: &dyn Index, key: &str, size_bytes: u64) {
    let (upload, content) = (reserve(index, key).await, attachment(size_bytes));
    index.attach(upload.id, &content, None, 1).await.unwrap();
    assert!(index.finalize(upload.id, &content, &Durability::Durable, 1).await.unwrap().is_some());
}

async fn server(index: &dyn Index) -> u64 {
    index.usage_of(&Area::Server).await.unwrap()
}

pub(crate) async fn the_server_counts_all_tenants(index: &dyn Index) {
    let (a, b) = (tenant(index, "a"), tenant(index, "b"));
    entry(index, "k", 1).await;
    entry(&*a, "k", 10).await;
    entry(&*b, "k", 100).await;
    b.set_orphans(1_000).await.unwrap();
    assert_eq!(server(index).await, 1_111);
    assert_eq!(server(&*a).await, 1_111);
    // A tenant with a storage of its own does not count, from whenever that is known.
    for _ in 0..2 {
        b.set_counted_apart(true).await.unwrap();
        assert_eq!(server(index).await, 11);
    }
    let new = tenant(index, "new");
    new.set_counted_apart(true).await.unwrap();
    entry(&*new, "k", 5).await;
    entry(&*b, "other", 7).await;
    b.set_orphans(500).await.unwrap();
    assert_eq!((server(index).await, b.usage_of(&Area::Tenant).await.unwrap()), (11, 607));
    assert_eq!(index.recount().await.unwrap(), 0);
    b.set_counted_apart(false).await.unwrap();
    assert_eq!(server(index).await, 618);
    new.set_counted_apart(false).await.unwrap();
    assert_eq!(server(index).await, 623);
    assert_eq!(index.recount().await.unwrap(), 0);
}

pub(crate) async fn the_cap_of_the_server_holds_for_all_tenants(index: &dyn Index) {
    let (a, b) = (tenant(index, "a"), tenant(index, "b"));
    let caps = Caps { server: Some(100), tenant: Some(1_000), ..Caps::default() };
    let (one, two) = (reserve(&*a, "k").await, reserve(&*b, "k").await);
    assert_eq!(a.reserve_room(&one.name, 60, &caps).await.unwrap(), Room::Reserved);
    let short = Room::Short { bound: Bound::Server, bytes: 10 };
    assert_eq!(b.reserve_room(&two.name, 50, &caps).await.unwrap(), short);
    assert_eq!(b.reserve_room(&two.name, 40, &caps).await.unwrap(), Room::Reserved);
    // What is counted apart has room, and needs none of others'.
    b.set_counted_apart(true).await.unwrap();
    assert_eq!(b.reserve_room(&two.name, 500, &caps).await.unwrap(), Room::Reserved);
    assert_eq!(a.reserve_room(&one.name, 40, &caps).await.unwrap(), Room::Reserved);
    let short = Room::Short { bound: Bound::Server, bytes: 1 };
    assert_eq!(a.reserve_room(&one.name, 1, &caps).await.unwrap(), short);
    assert_eq!(index.recount().await.unwrap(), 0);
}

/// `spoil` runs a statement on the database.
pub(crate) async fn wrong_sums_are_found_and_made_right(index: &dyn Index, spoil: impl Fn(&str)) {
    let other = tenant(index, "other");
    entry(index, "k", 10).await;
    entry(&*other, "k", 100).await;
    let upload = reserve(index, "upload").await;
    index.reserve_room(&upload.name, 7, &Caps::default()).await.unwrap();
    index.set_orphans(3).await.unwrap();
    other.set_counted_apart(true).await.unwrap();
    assert_eq!(index.recount().await.unwrap(), 0);
    // As an older server deletes an entry, and makes one.
    spoil("DELETE FROM entries WHERE size_bytes = 100");
    assert_eq!(index.recount().await.unwrap(), 3, "its scope, repository and tenant");
    assert_eq!(other.usage_of(&Area::Tenant).await.unwrap(), 0);
    spoil("UPDATE entries SET size_bytes = 11");
    spoil("DELETE FROM area_usage WHERE level = 1");
    spoil("UPDATE area_usage SET bytes = 0 WHERE level = 3");
    assert_eq!(index.recount().await.unwrap(), 4);
    assert_eq!(index.recount().await.unwrap(), 0);
    let sums = async |area| index.usage_of(&area).await.unwrap();
    assert_eq!(sums(Area::Repository("r".to_owned())).await, 18);
    assert_eq!((sums(Area::Tenant).await, sums(Area::Server).await), (21, 21));
    spoil("DELETE FROM area_usage");
    assert_eq!(index.recount().await.unwrap(), 4, "orphans are forgotten with their sum");
    assert_eq!(sums(Area::Server).await, 18);
}

/// `open` opens the same database for a rule.
pub(crate) fn a_rewrite_counts_again(open: impl Fn(KeyRule) -> Arc<dyn Index>) {
    let bytes = open(KeyRule::Bytes);
    block_on(async {
        entry(&*bytes, "key", 1).await;
        entry(&*bytes, "KEY", 10).await;
        let upload = reserve(&*bytes, "Key").await;
        bytes.reserve_room(&upload.name, 100, &Caps::default()).await.unwrap();
        assert_eq!(server(&*bytes).await, 111);
    });
    drop(bytes);
    let any_case = open(KeyRule::AnyCase);
    block_on(async {
        assert_eq!(server(&*any_case).await, 11, "what departed counts until its object is removed");
        assert_eq!(any_case.recount().await.unwrap(), 0);
    });
}
