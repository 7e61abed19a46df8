//! Promises on `erase`, and on the sizes of listings.

use std::collections::BTreeMap;

use super::{Fixture, assert_content, assert_not_found, id, ids, new_upload, pattern, put_block, whole};
use crate::{ObjectName, Storage};

pub(crate) async fn erasing_removes_all_that_an_upload_left(fixture: impl Fixture) {
    let mut fixture = fixture;
    let (upload, other) = (new_upload(), new_upload());
    let storage = fixture.storage();
    let staged = pattern(100_000, 1);
    let fill = async |storage: &dyn Storage, name| {
        for _ in 0..2 {
            storage.put(name, whole(b"whole")).await.unwrap();
        }
        for block in ["b", "a"] {
            put_block(storage, name, block, &staged).await;
        }
    };
    fill(storage, &upload).await;
    // Not in the order of arrival.
    let made = storage.commit(&upload, &ids(["a", "b"])).await.unwrap();
    fixture.restart().await;
    let storage = fixture.storage();
    fill(storage, &other).await;
    for _ in 0..2 {
        storage.erase(&upload, None).await.unwrap();
    }
    assert_not_found(storage.stat(&made.object).await);
    assert_eq!(storage.blocks(&upload).await.unwrap(), []);
    // Nothing of others.
    let left = all_objects(storage).await;
    assert_eq!(left.len(), 2);
    let expected = [staged.as_slice(), &staged].concat();
    let made = storage.commit(&other, &ids(["b", "a"])).await.unwrap();
    assert_content(storage, &made.object, &expected).await;
    storage.erase(&new_upload(), None).await.unwrap();
}

pub(crate) async fn erasing_keeps_the_object_that_is_kept(fixture: impl Fixture) {
    let storage = fixture.storage();
    // Plain, segmented, whole.
    for list in [["b", "a"], ["a", "b"], ["", ""]] {
        let upload = new_upload();
        for block in ["b", "a"] {
            put_block(storage, &upload, block, block.as_bytes()).await;
        }
        let (kept, content) = if list == ["", ""] {
            (storage.put(&upload, whole(b"put")).await.unwrap(), b"put".to_vec())
        } else {
            (storage.commit(&upload, &ids(list)).await.unwrap(), list.concat().into_bytes())
        };
        let gone = storage.put(&upload, whole(b"another")).await.unwrap();
        storage.erase(&upload, Some(&kept.object)).await.unwrap();
        assert_not_found(storage.stat(&gone.object).await);
        assert_content(storage, &kept.object, &content).await;
        assert_eq!(storage.blocks(&upload).await.unwrap(), []);
        storage.remove(&kept.object).await.unwrap();
    }
    assert_eq!(all_objects(storage).await, []);
}

pub(crate) async fn an_upload_takes_bytes_again_after_it_was_erased(fixture: impl Fixture) {
    let (storage, upload) = (fixture.storage(), new_upload());
    for content in [b"one", b"two"] {
        put_block(storage, &upload, "a", content).await;
        let made = storage.commit(&upload, &[id("a")]).await.unwrap();
        assert_content(storage, &made.object, content).await;
        storage.erase(&upload, None).await.unwrap();
        assert_not_found(storage.stat(&made.object).await);
    }
}

pub(crate) async fn objects_are_listed_with_their_sizes(fixture: impl Fixture) {
    let storage = fixture.storage();
    let mut expected = BTreeMap::new();
    for length in [0, 1, 100_000, 3_000_000] {
        let stored = storage.put(&new_upload(), whole(&pattern(length, 1))).await.unwrap();
        expected.insert(stored.object, stored.size_bytes);
    }
    let upload = new_upload();
    put_block(storage, &upload, "b", &pattern(1_000_000, 1)).await;
    put_block(storage, &upload, "a", &pattern(1_000_000, 2)).await;
    let segmented = storage.commit(&upload, &ids(["a", "b"])).await.unwrap();
    let page = storage.list_objects(None).await.unwrap();
    let mut listed: BTreeMap<_, _> =
        page.items.into_iter().map(|item| (item.name, item.size_bytes)).collect();
    let size_bytes = listed.remove(&segmented.object).unwrap();
    // With its trailer or manifest.
    assert!((2_000_000..2_010_000).contains(&size_bytes), "{size_bytes}");
    assert_eq!(listed, expected);
}

/// Few objects.
async fn all_objects(storage: &dyn Storage) -> Vec<ObjectName> {
    let page = storage.list_objects(None).await.unwrap();
    page.items.into_iter().map(|item| item.name).collect()
}
