//! Promises about objects in parts.

use super::*;

pub(crate) async fn parts_come_in_any_order(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let size = part_bytes(&*bucket);
    let bodies =
        [(1, pattern(size, 1)), (2, pattern(size + 17, 2)), (7, pattern(size, 3)), (9, pattern(3, 4))];
    let id = bucket.begin(&key).await.unwrap();
    assert!((1..=1024).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()), "{id:?}");
    let uploads = bodies.iter().rev().map(|(number, bytes)| part(&*bucket, &key, &id, *number, bytes));
    let mut parts = future::join_all(uploads).await;
    parts.reverse();
    assert_not_found(bucket.head(&key).await);
    bucket.complete(&key, &id, &parts).await.unwrap();
    let expected = bodies.map(|(_, bytes)| bytes).concat();
    assert_content(&*bucket, &key, &expected).await;
}

pub(crate) async fn parts_that_come_again_replace(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let size = part_bytes(&*bucket);
    let id = bucket.begin(&key).await.unwrap();
    part(&*bucket, &key, &id, 1, &pattern(size + 5, 1)).await;
    let first = part(&*bucket, &key, &id, 1, &pattern(size, 2)).await;
    let last = part(&*bucket, &key, &id, 2, b"end").await;
    bucket.complete(&key, &id, &[first, last]).await.unwrap();
    assert_content(&*bucket, &key, &[&pattern(size, 2)[..], b"end"].concat()).await;
}

pub(crate) async fn parts_that_are_not_named_are_dropped(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = format!("{prefix}x");
    let size = part_bytes(&*bucket);
    let id = bucket.begin(&key).await.unwrap();
    let first = part(&*bucket, &key, &id, 1, &pattern(size, 1)).await;
    part(&*bucket, &key, &id, 2, &pattern(size, 2)).await;
    let last = part(&*bucket, &key, &id, 3, &pattern(size, 3)).await;
    bucket.complete(&key, &id, &[first, last]).await.unwrap();
    assert_content(&*bucket, &key, &[pattern(size, 1), pattern(size, 3)].concat()).await;
    assert_eq!(multiparts_of(&*bucket, &prefix).await, []);
    assert_eq!(keys_of(&*bucket, &prefix).await.len(), 1);
}

pub(crate) async fn complete_replaces_what_was_there(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    put(&*bucket, &key, b"before").await;
    let id = bucket.begin(&key).await.unwrap();
    let only = part(&*bucket, &key, &id, 1, b"after it").await;
    assert_content(&*bucket, &key, b"before").await;
    bucket.complete(&key, &id, &[only]).await.unwrap();
    assert_content(&*bucket, &key, b"after it").await;
}

/// Enough parts for several rounds of composition, if parts may be small.
pub(crate) async fn many_parts_make_one_object(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let size = part_bytes(&*bucket);
    let count = if size < 1000 { 1_100 } else { 3 };
    let id = bucket.begin(&key).await.unwrap();
    let bodies: Vec<Vec<u8>> = (0..count).map(|n| pattern(size + n % 900, n as u64)).collect();
    let numbers = 1_u32..;
    let mut parts: Vec<Part> = stream::iter(numbers.zip(&bodies))
        .map(|(number, bytes)| part(&*bucket, &key, &id, number, bytes))
        .buffer_unordered(32)
        .collect()
        .await;
    parts.sort_by_key(|part| part.number);
    bucket.complete(&key, &id, &parts).await.unwrap();
    assert_content(&*bucket, &key, &bodies.concat()).await;
}

pub(crate) async fn complete_again_is_harmless_or_not_found(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let id = bucket.begin(&key).await.unwrap();
    let only = part(&*bucket, &key, &id, 1, b"content").await;
    bucket.complete(&key, &id, std::slice::from_ref(&only)).await.unwrap();
    for _ in 0..2 {
        match bucket.complete(&key, &id, std::slice::from_ref(&only)).await {
            Ok(()) | Err(StorageError::NotFound) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert_content(&*bucket, &key, b"content").await;
    }
}

pub(crate) async fn a_part_that_is_not_there_completes_nothing(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let size = part_bytes(&*bucket);
    let (id, other) = (bucket.begin(&key).await.unwrap(), bucket.begin(&format!("{key}-y")).await.unwrap());
    let here = part(&*bucket, &key, &id, 1, &pattern(size, 1)).await;
    let elsewhere = part(&*bucket, &format!("{key}-y"), &other, 2, &pattern(size, 2)).await;
    bucket.complete(&key, &id, &[here, elsewhere]).await.unwrap_err();
    assert_not_found(bucket.head(&key).await);
}

pub(crate) async fn aborted_multiparts_leave_nothing(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = format!("{prefix}x");
    let id = bucket.begin(&key).await.unwrap();
    part(&*bucket, &key, &id, 1, b"1").await;
    part(&*bucket, &key, &id, 2, b"2").await;
    bucket.abort(&key, &id).await.unwrap();
    bucket.abort(&key, &id).await.unwrap();
    assert_not_found(bucket.head(&key).await);
    assert_eq!(multiparts_of(&*bucket, &prefix).await, []);
    assert_eq!(keys_of(&*bucket, &prefix).await, []);
}

pub(crate) async fn abort_after_complete_keeps_the_object(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let id = bucket.begin(&key).await.unwrap();
    let only = part(&*bucket, &key, &id, 1, b"content").await;
    bucket.complete(&key, &id, &[only]).await.unwrap();
    bucket.abort(&key, &id).await.unwrap();
    assert_content(&*bucket, &key, b"content").await;
}

pub(crate) async fn open_multiparts_are_listed_where_they_are_kept(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let before_ms = now_ms();
    let mut expected = BTreeSet::new();
    for key in ["a", "a", "a/b", "c"].map(|name| format!("{prefix}o/{name}")) {
        let id = bucket.begin(&key).await.unwrap();
        part(&*bucket, &key, &id, 1, b"1").await;
        part(&*bucket, &key, &id, 2, b"2").await;
        expected.insert((key, id));
    }
    let done = format!("{prefix}o/b");
    let id = bucket.begin(&done).await.unwrap();
    let only = part(&*bucket, &done, &id, 1, b"1").await;
    bucket.complete(&done, &id, &[only]).await.unwrap();
    let open = multiparts_of(&*bucket, &format!("{prefix}o/")).await;
    // An open multipart upload is listed neither as an object nor under another prefix.
    assert_eq!(keys_of(&*bucket, &format!("{prefix}o/")).await.len(), 1);
    assert_eq!(multiparts_of(&*bucket, &format!("{prefix}p/")).await, []);
    if !fixture.keeps_multiparts() {
        assert_eq!(open, []);
        return;
    }
    let about_now = before_ms - 60_000..now_ms() + 60_000;
    assert!(open.iter().all(|one| about_now.contains(&one.begun_ms)), "{open:?}");
    let listed: BTreeSet<_> = open.iter().map(|one| (one.key.clone(), one.id.clone())).collect();
    assert_eq!((listed, open.len()), (expected, 4));
    for one in &open {
        bucket.abort(&one.key, &one.id).await.unwrap();
    }
    assert_eq!(multiparts_of(&*bucket, &format!("{prefix}o/")).await, []);
}
