//! Tenants in one bucket.

use std::{sync::Arc, time::Duration};

use larder_common::TenantName;

use super::{bucket, open, small, storage};
use crate::{
    Storage,
    conformance::{assert_content, id, new_upload, pattern, put_block, whole},
    objects::{ObjectResources, ObjectSettings, ObjectStorage},
};

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

fn tenant(storage: &ObjectStorage, text: &str) -> Arc<dyn Storage> {
    storage.tenant(&name(text)).unwrap()
}

/// Tasks of the storage's own threads.
fn tasks(storage: &ObjectStorage) -> usize {
    storage.shared.runtime.handle().metrics().num_alive_tasks()
}

/// Waits until `is_true`.
async fn eventually(what: &str, is_true: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if is_true().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} does not happen");
}

#[tokio::test]
async fn storages_of_several_buckets_share_memory_and_threads() {
    let resources = ObjectResources::start(&small()).unwrap();
    let buckets = [bucket(), bucket()];
    let [one, other] = buckets.map(|bucket| ObjectStorage::open_sharing(bucket, &small(), &resources));
    assert!(Arc::ptr_eq(&one.shared.memory, &other.shared.memory));
    assert!(Arc::ptr_eq(&one.shared.runtime, &other.shared.runtime));
    let object = one.put(&new_upload(), whole(b"x")).await.unwrap().object;
    assert!(other.stat(&object).await.is_err());
    // Which the one that stays needs, too.
    drop(one);
    drop(resources);
    let object = other.put(&new_upload(), whole(b"y")).await.unwrap().object;
    assert_content(&other, &object, b"y").await;
}

#[tokio::test]
async fn all_keys_of_a_tenant_are_in_its_folder() {
    let bucket = bucket();
    let storage = storage(&bucket);
    let own = tenant(&storage, "a");
    own.set_identity("set", false).await.unwrap();
    let upload = new_upload();
    // Parts, spilled tails, records and a segmented object.
    for (block, seed) in [("c", 1), ("b", 2), ("a", 3)] {
        put_block(&*own, &upload, block, &pattern(30_000, seed)).await;
        put_block(&*own, &upload, &format!("small-{block}"), b"tail").await;
    }
    own.settle().await.unwrap();
    assert!(!bucket.keys("tenants/a/uploads/").is_empty());
    let ids = ["a", "small-a", "c"].map(id);
    let object = own.commit(&upload, &ids).await.unwrap().object;
    let expected = [&pattern(30_000, 3)[..], b"tail", &pattern(30_000, 1)[..]].concat();
    assert_content(&*own, &object, &expected).await;
    let plain = own.put(&new_upload(), whole(b"x")).await.unwrap().object;
    let url = own.presign(&plain, 1, Duration::from_secs(1)).await.unwrap();
    assert_eq!(url, Some(format!("memory:tenants/a/objects/{}", &plain.as_str()[2..])));
    assert_eq!(bucket.keys(""), bucket.keys("tenants/a/"));
    own.discard(&upload).await.unwrap();
    own.remove(&object).await.unwrap();
    own.remove(&plain).await.unwrap();
    assert!(own.forget_tenant().await.unwrap());
    assert_eq!(bucket.keys(""), Vec::<String>::new());
    assert_eq!(bucket.open_multiparts(), 0);
}

/// An object of the same name in two tenants: two keys.
#[tokio::test]
async fn an_object_of_one_name_is_one_of_each_tenant() {
    use crate::bucket::Bucket;
    let bucket = bucket();
    let storage = storage(&bucket);
    let (one, other) = (tenant(&storage, "a"), tenant(&storage, "b"));
    let object = one.put(&new_upload(), whole(b"one")).await.unwrap().object;
    let key = format!("tenants/b/objects/{}", &object.as_str()[2..]);
    bucket.put(&key, vec!["other".into()]).await.unwrap();
    assert_content(&*other, &object, b"other").await;
    one.remove(&object).await.unwrap();
    assert!(one.stat(&object).await.is_err());
    assert_content(&*other, &object, b"other").await;
}

/// An idle tail is spilled for each tenant, also for one that was idle when others were not.
#[tokio::test]
async fn tails_of_each_tenant_are_spilled_by_the_clock() {
    let bucket = bucket();
    let storage = storage(&bucket);
    for text in ["a", "b", "default"] {
        let own = tenant(&storage, text);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let upload = new_upload();
        put_block(&*own, &upload, "a", b"tail").await;
        let folder = if text == "default" { String::new() } else { format!("tenants/{text}/") };
        let prefix = format!("{folder}uploads/{upload}/");
        let is_spilled =
            async || bucket.keys(&prefix).iter().any(|key| key[prefix.len() + 16..].starts_with("-s"));
        eventually("a spill", is_spilled).await;
    }
}

/// The memory is one for all tenants: tails of one make room for the body of another.
#[tokio::test]
async fn a_waiter_of_one_tenant_gets_the_memory_of_the_tails_of_others() {
    let bucket = bucket();
    let settings = ObjectSettings {
        buffer_bytes: 40_000,
        spill_after: Duration::from_secs(3600),
        acquire_timeout: Duration::from_secs(20),
        ..small()
    };
    let storage = open(bucket.clone(), &settings);
    let (one, other) = (tenant(&storage, "a"), tenant(&storage, "b"));
    for own in [&one, &other] {
        for block in ["a", "b"] {
            put_block(&**own, &new_upload(), block, &pattern(9_000, 1)).await;
        }
    }
    let held = storage.shared.memory.held_bytes();
    assert!(held >= 36_000, "{held}");
    let third = tenant(&storage, "c");
    let stored = third.put(&new_upload(), whole(&pattern(9_500, 2))).await.unwrap();
    assert_content(&*third, &stored.object, &pattern(9_500, 2)).await;
    assert!(storage.shared.memory.peak_bytes() <= 40_192);
}

/// A handle has one task. It ends with the handle, whether it sleeps for want of uploads or not.
#[tokio::test]
async fn the_work_of_a_handle_ends_with_it() {
    let storage = storage(&bucket());
    let before = tasks(&storage);
    let handles: Vec<_> = (0..100).map(|number| tenant(&storage, &format!("t-{number}"))).collect();
    assert_eq!(tasks(&storage), before + 100);
    put_block(&*handles[0], &new_upload(), "a", b"1").await;
    drop(handles);
    eventually("the end of the tasks", async || tasks(&storage) <= before).await;
}

/// A handle that was dropped and is made again is like another process.
#[tokio::test]
async fn a_handle_made_again_finds_what_was_settled() {
    let storage = storage(&bucket());
    let upload = new_upload();
    let own = tenant(&storage, "a");
    put_block(&*own, &upload, "a", b"1").await;
    own.settle().await.unwrap();
    drop(own);
    let own = tenant(&storage, "a");
    put_block(&*own, &upload, "b", b"2").await;
    let stored = own.commit(&upload, &["a", "b"].map(id)).await.unwrap();
    assert_content(&*own, &stored.object, b"12").await;
}
