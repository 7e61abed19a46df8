//! Promises on listings.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};

use super::{Fixture, assert_invalid, id, new_upload, put_block, whole};
use crate::{ObjectName, Storage, UploadName};

/// More pages than any of these listings has.
const MAX_PAGES: usize = 1000;

async fn put_many(storage: &dyn Storage, count: usize) -> BTreeSet<ObjectName> {
    let upload = new_upload();
    let puts = stream::iter(0..count).map(|_| storage.put(&upload, whole(b"x")));
    puts.buffer_unordered(16).map(|stored| stored.unwrap().object).collect().await
}

async fn all_uploads(storage: &dyn Storage) -> Vec<UploadName> {
    let mut names = Vec::new();
    let mut from = None;
    for _ in 0..MAX_PAGES {
        let page = storage.list_uploads(from.as_deref()).await.unwrap();
        names.extend(page.items.into_iter().map(|item| item.name));
        from = page.next;
        if from.is_none() {
            return names;
        }
    }
    panic!("the listing does not end");
}

pub(crate) async fn listing_shows_every_object_once(fixture: impl Fixture) {
    let storage = fixture.storage();
    assert!(storage.list_objects(None).await.unwrap().items.is_empty());
    let objects = put_many(storage, 2345).await;
    let mut listed = Vec::new();
    let mut from = None;
    for _ in 0..MAX_PAGES {
        let page = storage.list_objects(from.as_deref()).await.unwrap();
        assert!(page.items.len() <= 1000);
        assert!(page.items.iter().all(|item| item.modified_ms > 1_600_000_000_000));
        listed.extend(page.items.into_iter().map(|item| item.name));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(listed.len(), objects.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), objects);
}

pub(crate) async fn listing_goes_on_while_objects_are_removed(fixture: impl Fixture) {
    let storage = fixture.storage();
    let objects = put_many(storage, 1234).await;
    let mut listed = BTreeSet::new();
    let mut from = None;
    for _ in 0..MAX_PAGES {
        let page = storage.list_objects(from.as_deref()).await.unwrap();
        for item in page.items {
            storage.remove(&item.name).await.unwrap();
            assert!(listed.insert(item.name), "listed twice");
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(listed, objects);
    assert!(storage.list_objects(None).await.unwrap().items.is_empty());
}

pub(crate) async fn listing_refuses_a_foreign_cursor(fixture: impl Fixture) {
    let storage = fixture.storage();
    for cursor in ["", "..", "../x", "\0"] {
        assert_invalid(storage.list_objects(Some(cursor)).await);
        assert_invalid(storage.list_uploads(Some(cursor)).await);
    }
}

pub(crate) async fn listing_shows_uploads_until_they_are_discarded(mut fixture: impl Fixture) {
    assert!(all_uploads(fixture.storage()).await.is_empty());
    let mut uploads: Vec<UploadName> = (0..10).map(|_| new_upload()).collect();
    uploads.sort();
    for upload in &uploads {
        put_block(fixture.storage(), upload, "a", b"1").await;
    }
    assert_eq!(all_uploads(fixture.storage()).await, uploads);
    fixture.restart().await;
    assert_eq!(all_uploads(fixture.storage()).await, uploads);
    fixture.storage().commit(&uploads[0], &[id("a")]).await.unwrap();
    for upload in &uploads {
        fixture.storage().discard(upload).await.unwrap();
    }
    assert!(all_uploads(fixture.storage()).await.is_empty());
}

pub(crate) async fn a_time_that_was_set_is_listed(fixture: impl Fixture) {
    const SET_MS: u64 = 1_765_432_100_123;
    let storage = fixture.storage();
    let (upload, other) = (new_upload(), new_upload());
    put_block(storage, &upload, "a", b"1").await;
    put_block(storage, &other, "a", b"1").await;
    let object = storage.put(&new_upload(), whole(b"x")).await.unwrap().object;
    let untouched = storage.put(&new_upload(), whole(b"x")).await.unwrap().object;
    storage.set_object_time(&object, SET_MS).await.unwrap();
    storage.set_upload_time(&upload, SET_MS).await.unwrap();
    for item in storage.list_objects(None).await.unwrap().items {
        assert_eq!(item.modified_ms == SET_MS, item.name == object, "{item:?} beside {untouched}");
    }
    let mut from = None;
    loop {
        let page = storage.list_uploads(from.as_deref()).await.unwrap();
        for item in page.items {
            assert_eq!(item.modified_ms == SET_MS, item.name == upload, "{item:?}");
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    storage.remove(&object).await.unwrap();
    storage.discard(&upload).await.unwrap();
    // They are gone, which is no error.
    storage.set_object_time(&object, SET_MS).await.unwrap();
    storage.set_upload_time(&upload, SET_MS).await.unwrap();
}
