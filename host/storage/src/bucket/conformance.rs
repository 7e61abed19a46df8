//! The promises of all buckets, one test each.
//!
//! A driver's tests use `bucket_conformance!(fixture)`, where the expression makes `Option<impl
//! BucketFixture>`; it is evaluated anew for each test, and `None` skips it (no server). Each test
//! has a prefix of its own, so all may run at once in one bucket. A new promise of the trait gets a
//! function here or below, and its name in the list at the end of this file.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod parts;
mod urls;

use std::{collections::BTreeSet, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

pub(crate) use self::{parts::*, urls::*};
use super::{Bucket, ListedKey, OpenMultipart, Part, Pieces};
pub(crate) use crate::conformance::bounded;
use crate::{
    Content, StorageError,
    conformance::{assert_not_found, new_upload, pattern, read},
};

/// A bucket under test.
pub(crate) trait BucketFixture: Send + Sync {
    /// A bucket that exists. Other tests may use it at the same time.
    fn bucket(&self) -> Arc<dyn Bucket>;

    /// A bucket of the same service that does not exist.
    fn missing(&self) -> Arc<dyn Bucket>;

    /// Whether abandoned multipart uploads are kept for ever, and so are listed.
    fn keeps_multiparts(&self) -> bool;
}

/// A random prefix.
fn prefix() -> String {
    format!("test-{}/", new_upload())
}

/// Bytes in chunks of different sizes, an empty one among them.
fn pieces(bytes: &[u8]) -> Pieces {
    let mut pieces: Pieces = bytes.chunks(300_007).map(Bytes::copy_from_slice).collect();
    pieces.insert(pieces.len() / 2, Bytes::new());
    pieces
}

async fn put(bucket: &dyn Bucket, key: &str, bytes: &[u8]) {
    bucket.put(key, pieces(bytes)).await.unwrap();
}

async fn get(
    bucket: &dyn Bucket,
    key: &str,
    size_bytes: u64,
    range: Option<Range<u64>>,
) -> Result<Vec<u8>, StorageError> {
    read(bucket.get(key, size_bytes, range).await?).await
}

async fn assert_content(bucket: &dyn Bucket, key: &str, expected: &[u8]) {
    assert_eq!(bucket.head(key).await.unwrap(), expected.len() as u64);
    assert!(get(bucket, key, expected.len() as u64, None).await.unwrap() == expected, "the content differs");
}

async fn part(bucket: &dyn Bucket, key: &str, id: &str, number: u32, bytes: &[u8]) -> Part {
    let part = bucket.put_part(key, id, number, pieces(bytes)).await.unwrap();
    assert_eq!(part.number, number);
    let printable = part.tag.bytes().all(|b| b.is_ascii_graphic());
    assert!((1..=128).contains(&part.tag.len()) && printable, "{:?}", part.tag);
    part
}

/// A valid size of a part that is not the last.
fn part_bytes(bucket: &dyn Bucket) -> usize {
    usize::try_from(bucket.part_limits().min_bytes).unwrap().max(1)
}

async fn keys_of(bucket: &dyn Bucket, prefix: &str) -> Vec<ListedKey> {
    let (mut keys, mut from) = (Vec::new(), None);
    loop {
        let page = bucket.list(prefix, from.as_deref()).await.unwrap();
        keys.extend(page.items);
        match page.next {
            Some(next) => from = Some(next),
            None => return keys,
        }
    }
}

async fn multiparts_of(bucket: &dyn Bucket, prefix: &str) -> Vec<OpenMultipart> {
    let (mut open, mut from) = (Vec::new(), None);
    loop {
        let page = bucket.list_multiparts(prefix, from.as_deref()).await.unwrap();
        open.extend(page.items);
        match page.next {
            Some(next) => from = Some(next),
            None => return open,
        }
    }
}

pub(crate) async fn check_tells_a_bucket_from_none(fixture: impl BucketFixture) {
    fixture.bucket().check().await.unwrap();
    let error = fixture.missing().check().await.unwrap_err();
    let text = format!("{error}; {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(!matches!(error, StorageError::NotFound), "it says nothing");
    assert!(text.contains("missing-bucket"), "it does not say which: {text}");
}

pub(crate) async fn what_is_not_there_is_not_found(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = format!("{prefix}nothing");
    assert_not_found(bucket.head(&key).await);
    assert_not_found(bucket.get(&key, 1, None).await);
    assert_not_found(bucket.get(&key, 10, Some(3..5)).await);
    assert_not_found(bucket.read(&key, 10).await);
    // A prefix with a slash is no object.
    put(&*bucket, &format!("{key}/inside"), b"x").await;
    assert_not_found(bucket.head(&key).await);
    assert_not_found(bucket.read(&key, 10).await);
}

pub(crate) async fn put_stores_what_it_is_given(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    for length in [0, 1, 65_536, 300_007, 2_500_000] {
        let (key, bytes) = (format!("{prefix}a.b-{length}/x"), pattern(length, length as u64));
        put(&*bucket, &key, &bytes).await;
        assert_content(&*bucket, &key, &bytes).await;
    }
    let key = format!("{prefix}no-pieces");
    bucket.put(&key, Vec::new()).await.unwrap();
    assert_content(&*bucket, &key, b"").await;
}

/// A content of `chunks` with an announced length.
fn coming(length: usize, chunks: &[u8]) -> Content {
    let chunks: Vec<_> = pieces(chunks).into_iter().map(Ok).collect();
    Content { length: length as u64, chunks: stream::iter(chunks).boxed() }
}

pub(crate) async fn send_stores_what_comes(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    assert!(bucket.send_limit().is_some_and(|limit| limit > 100 << 20), "{:?}", bucket.send_limit());
    for length in [1, 65_536, 300_007, 20_000_000] {
        let (key, bytes) = (format!("{prefix}a.b-{length}/x"), pattern(length, length as u64));
        bucket.send(&key, coming(length, &bytes)).await.unwrap();
        assert_content(&*bucket, &key, &bytes).await;
    }
    let own = bucket.with_own_connections().unwrap().expect("connections of its own");
    own.send(&format!("{prefix}own"), coming(3, b"own")).await.unwrap();
    assert_content(&*bucket, &format!("{prefix}own"), b"own").await;
}

pub(crate) async fn send_stores_nothing_of_bytes_that_do_not_come(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let bytes = pattern(3_000_000, 1);
    let broken = || stream::iter([Err(StorageError::Invalid("broken".to_owned()))]);
    let cases = [
        ("the body ended early", coming(3_000_001, &bytes)),
        ("the body is longer than announced", coming(2_999_999, &bytes)),
        ("broken", Content { chunks: coming(0, &bytes).chunks.chain(broken()).boxed(), length: 4_000_000 }),
    ];
    for (number, (why, content)) in cases.into_iter().enumerate() {
        let key = format!("{prefix}{number}");
        let error = bucket.send(&key, content).await.unwrap_err();
        assert!(matches!(&error, StorageError::Invalid(message) if message == why), "{why}: {error:?}");
        assert_not_found(bucket.head(&key).await);
    }
    // The sender is dropped in the middle.
    let key = format!("{prefix}away");
    let stuck =
        Content { chunks: coming(0, &bytes).chunks.chain(stream::pending()).boxed(), length: 4_000_000 };
    let sent = tokio::time::timeout(Duration::from_millis(300), bucket.send(&key, stuck)).await;
    assert!(sent.is_err(), "{sent:?}");
    assert_not_found(bucket.head(&key).await);
}

pub(crate) async fn streamed_parts_stand_beside_others(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = format!("{prefix}x");
    let bodies: Vec<_> = (0..4).map(|n| pattern(part_bytes(&*bucket) + 1000 * n, n as u64)).collect();
    let id = bucket.begin(&key).await.unwrap();
    let send = async |number: u32, body: &[u8]| {
        bucket.send_part(&key, &id, number, coming(body.len(), body)).await.unwrap()
    };
    // A part that fails is not stored, and may be sent again.
    let cut = bucket.send_part(&key, &id, 1, coming(bodies[0].len() + 1, &bodies[0])).await;
    assert!(matches!(cut, Err(StorageError::Invalid(_))), "{cut:?}");
    let parts = [
        send(1, &bodies[0]).await,
        part(&*bucket, &key, &id, 2, &bodies[1]).await,
        send(3, &bodies[2]).await,
        part(&*bucket, &key, &id, 4, &bodies[3]).await,
    ];
    bucket.complete(&key, &id, &parts).await.unwrap();
    assert_content(&*bucket, &key, &bodies.concat()).await;
}

pub(crate) async fn put_replaces(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = format!("{prefix}x");
    put(&*bucket, &key, b"first and longer").await;
    put(&*bucket, &key, b"second").await;
    assert_content(&*bucket, &key, b"second").await;
}

pub(crate) async fn of_several_new_objects_one_wins(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = format!("{prefix}x");
    let bodies: Vec<Vec<u8>> = (0..8).map(|n| pattern(1000, n)).collect();
    let won = future::join_all(bodies.iter().map(|bytes| bucket.put_new(&key, pieces(bytes)))).await;
    let won: Vec<bool> = won.into_iter().map(Result::unwrap).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let winner = won.iter().position(|won| *won).unwrap();
    assert_content(&*bucket, &key, &bodies[winner]).await;
    let before = bucket.read(&key, 1000).await.unwrap();
    assert!(!bucket.put_new(&key, pieces(b"late")).await.unwrap());
    assert_content(&*bucket, &key, &before).await;
    bucket.remove(std::slice::from_ref(&key)).await.unwrap();
    assert!(bucket.put_new(&key, pieces(b"again")).await.unwrap());
}

pub(crate) async fn keys_may_have_every_allowed_form(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let long = format!("{prefix}{}", "a".repeat(255 - prefix.len()));
    for key in [&long, &format!("{prefix}a.b/c-d/0.9"), &format!("{prefix}z")] {
        put(&*bucket, key, key.as_bytes()).await;
        assert_content(&*bucket, key, key.as_bytes()).await;
    }
}

pub(crate) async fn ranges_are_exact(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let bytes = pattern(700_000, 7);
    put(&*bucket, &key, &bytes).await;
    for range in [0..1, 0..700_000, 1..2, 699_999..700_000, 300_006..300_008, 5..500_000] {
        let expected = &bytes[range.start as usize..range.end as usize];
        let content = bucket.get(&key, 700_000, Some(range.clone())).await.unwrap();
        assert_eq!(content.length, expected.len() as u64);
        assert!(read(content).await.unwrap() == expected, "{range:?}");
    }
}

pub(crate) async fn an_object_of_another_size_is_not_found(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    put(&*bucket, &key, &pattern(1000, 1)).await;
    for size_bytes in [0, 999, 1001, 5000] {
        assert_not_found(bucket.get(&key, size_bytes, None).await);
    }
    assert_not_found(bucket.get(&key, 999, Some(0..10)).await);
    assert_not_found(bucket.get(&key, 1001, Some(0..10)).await);
    assert_not_found(bucket.get(&key, 1001, Some(990..1001)).await);
    assert_not_found(bucket.get(&key, 5000, Some(2000..3000)).await);
    put(&*bucket, &key, b"").await;
    assert_not_found(bucket.get(&key, 1, None).await);
    assert_not_found(bucket.get(&key, 1, Some(0..1)).await);
}

pub(crate) async fn read_is_bounded(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let bytes = pattern(100_000, 1);
    put(&*bucket, &key, &bytes).await;
    assert!(bucket.read(&key, 100_000).await.unwrap() == bytes);
    let refused = bucket.read(&key, 99_999).await;
    assert!(matches!(refused, Err(StorageError::Invalid(_))), "{refused:?}");
    put(&*bucket, &key, b"").await;
    assert!(bucket.read(&key, 0).await.unwrap().is_empty());
}

pub(crate) async fn removed_objects_are_gone(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let key = |name: &str| format!("{prefix}{name}");
    for name in ["a", "b", "c"] {
        put(&*bucket, &key(name), b"x").await;
    }
    bucket.remove(&[key("a"), key("nothing"), key("b")]).await.unwrap();
    bucket.remove(&[key("a")]).await.unwrap();
    bucket.remove(&[]).await.unwrap();
    assert_not_found(bucket.head(&key("a")).await);
    assert_not_found(bucket.head(&key("b")).await);
    assert_content(&*bucket, &key("c"), b"x").await;
}

pub(crate) async fn listing_shows_every_key_once_in_order(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let mut expected: Vec<String> =
        (0..1_100).map(|n| format!("{prefix}o/{:x}-{n}", n * 7919 % 256)).collect();
    expected.extend(["o/0", "o/0-", "o/0.", "o/00"].map(|key| format!("{prefix}{key}")));
    let before_ms = now_ms();
    stream::iter(&expected).for_each_concurrent(32, |key| put(&*bucket, key, key.as_bytes())).await;
    for key in ["other", "q/0", "q/0/x", "q/00"] {
        put(&*bucket, &format!("{prefix}{key}"), b"x").await;
    }
    expected.sort();
    let listed = keys_of(&*bucket, &format!("{prefix}o/")).await;
    let keys: Vec<String> = listed.iter().map(|item| item.key.clone()).collect();
    assert!(keys == expected, "{} keys, {} expected, or in another order", keys.len(), expected.len());
    for item in &listed {
        assert_eq!(item.size_bytes, item.key.len() as u64);
        let about_now = before_ms - 60_000..now_ms() + 60_000;
        assert!(about_now.contains(&item.modified_ms), "{item:?}");
    }
    // The prefix is text, and not a folder.
    assert_eq!(keys_of(&*bucket, &format!("{prefix}q/0/")).await.len(), 1);
    assert_eq!(keys_of(&*bucket, &format!("{prefix}q/")).await.len(), 3);
    assert!(keys_of(&*bucket, &format!("{prefix}oth")).await.len() == 1);
    assert!(keys_of(&*bucket, &format!("{prefix}nothing")).await.is_empty());
    // A cursor stays valid when the items of its page, and all others, are removed.
    let first = bucket.list(&format!("{prefix}o/"), None).await.unwrap();
    assert!((100..=1100).contains(&first.items.len()), "{} on a page", first.items.len());
    let on_page: Vec<String> = first.items.iter().map(|item| item.key.clone()).collect();
    bucket.remove(&on_page).await.unwrap();
    let second = bucket.list(&format!("{prefix}o/"), first.next.as_deref()).await.unwrap();
    let next: Vec<String> = second.items.iter().map(|item| item.key.clone()).collect();
    let end = expected.len().min(on_page.len() + next.len());
    assert!(next == expected[on_page.len()..end], "the second page is not what follows the first");
    assert!(!next.is_empty());
}

fn now_ms() -> u64 {
    larder_common::clock::Clock::system().now_ms()
}

pub(crate) async fn concurrent_objects_do_not_mix(fixture: impl BucketFixture) {
    let (bucket, prefix) = (fixture.bucket(), prefix());
    let bodies: Vec<Vec<u8>> = (0..16).map(|n| pattern(200_000 + n, n as u64)).collect();
    let all = bodies.iter().enumerate().map(async |(n, bytes)| {
        let key = format!("{prefix}{n}");
        put(&*bucket, &key, bytes).await;
        assert_content(&*bucket, &key, bytes).await;
    });
    future::join_all(all).await;
}

pub(crate) async fn content_outlives_the_bucket_that_opened_it(fixture: impl BucketFixture) {
    let (bucket, key) = (fixture.bucket(), format!("{}x", prefix()));
    let bytes = pattern(2_000_000, 3);
    put(&*bucket, &key, &bytes).await;
    let content = bucket.get(&key, 2_000_000, None).await.unwrap();
    drop(bucket);
    assert!(read(content).await.unwrap() == bytes);
}

/// Makes a test of every promise.
macro_rules! bucket_conformance {
    ($fixture:expr) => {
        $crate::bucket::conformance::bucket_conformance!($fixture;
            check_tells_a_bucket_from_none,
            what_is_not_there_is_not_found,
            put_stores_what_it_is_given,
            put_replaces,
            send_stores_what_comes,
            send_stores_nothing_of_bytes_that_do_not_come,
            streamed_parts_stand_beside_others,
            of_several_new_objects_one_wins,
            keys_may_have_every_allowed_form,
            ranges_are_exact,
            an_object_of_another_size_is_not_found,
            read_is_bounded,
            removed_objects_are_gone,
            listing_shows_every_key_once_in_order,
            parts_come_in_any_order,
            parts_that_come_again_replace,
            parts_that_are_not_named_are_dropped,
            complete_replaces_what_was_there,
            many_parts_make_one_object,
            complete_again_is_harmless_or_not_found,
            a_part_that_is_not_there_completes_nothing,
            aborted_multiparts_leave_nothing,
            abort_after_complete_keeps_the_object,
            open_multiparts_are_listed_where_they_are_kept,
            concurrent_objects_do_not_mix,
            content_outlives_the_bucket_that_opened_it,
            presigned_urls_serve_the_object,
        );
    };
    ($fixture:expr; $($promise:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            use $crate::bucket::conformance;
            if let Some(fixture) = $fixture {
                conformance::bounded(conformance::$promise(fixture)).await;
            }
        }
    )*};
}
pub(crate) use bucket_conformance;
