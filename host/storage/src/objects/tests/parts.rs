//! Coalescing, spilling, and the number of written bytes.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::StreamExt;

use super::{MIN, MemoryBucket, bucket, commits_to, open, patient, put, small, storage};
use crate::{
    BlockId, Source, Storage,
    conformance::{assert_content, id, new_upload, pattern},
    objects::{ObjectSettings, part_size},
    testing::{
        faulty::{Fault, Faults},
        faulty_bucket::FaultyBucket,
    },
};

fn list(count: usize) -> Vec<BlockId> {
    (0..count).map(|n| id(&format!("{n:05}"))).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn small_blocks_become_few_parts_and_one_object() {
    let bucket = bucket();
    let faults = Faults::none();
    let storage = open(Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() }), &patient());
    let upload = new_upload();
    let body = pattern(1_000, 1);
    let list = list(500);
    for id in &list {
        put(&storage, &upload, id, &body).await;
    }
    assert!(commits_to(&storage, &upload, &list, &body.repeat(500)).await);
    let calls = faults.take_calls();
    let count = |call: &str| calls.iter().filter(|made| **made == call).count();
    // 500,000 bytes in parts of 16,000, the last one at the commit.
    assert_eq!((count("put_part"), count("begin"), count("complete")), (32, 1, 1));
    assert_eq!(count("get") + count("read"), 1, "only the content was read back, by this test");
}

#[tokio::test]
async fn hardly_more_is_written_than_the_content() {
    let bucket = MemoryBucket::new(part_size::MIN_PART_BYTES, 10_000);
    let storage = open(bucket.clone(), &ObjectSettings::new(64 << 20));
    let upload = new_upload();
    let body = pattern(1 << 20, 1);
    // Ids as long as BuildKit's.
    let list: Vec<BlockId> = (0..150).map(|n| id(&format!("{n:088}"))).collect();
    for id in &list {
        put(&storage, &upload, id, &body).await;
    }
    storage.commit(&upload, &list).await.unwrap();
    let ratio = bucket.written.load(Relaxed) as f64 / (150 << 20) as f64;
    assert!((1.0..1.002).contains(&ratio), "{ratio}");
}

#[tokio::test]
async fn a_few_small_blocks_are_one_request_and_its_plan() {
    let bucket = bucket();
    let faults = Faults::none();
    let storage = open(Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() }), &patient());
    let upload = new_upload();
    for name in ["b", "a"] {
        put(&storage, &upload, &id(name), name.as_bytes()).await;
    }
    faults.take_calls();
    storage.commit(&upload, &[id("a"), id("b")]).await.unwrap();
    assert_eq!(faults.take_calls(), ["list", "put", "put_new"]);
}

#[tokio::test]
async fn idle_tails_are_written_down() {
    let bucket = bucket();
    let storage = storage(&bucket);
    let upload = new_upload();
    put(&storage, &upload, &id("a"), b"first").await;
    until("the tail is spilled", || bucket.keys("uploads/").iter().any(|key| key.contains("-s"))).await;
    put(&storage, &upload, &id("b"), b"second").await;
    assert!(commits_to(&storage, &upload, &[id("a"), id("b")], b"firstsecond").await);
}

#[tokio::test]
async fn spilled_blocks_become_parts_of_the_object() {
    // So little memory that almost every block is spilled.
    let bucket = bucket();
    let storage = open(bucket.clone(), &ObjectSettings { buffer_bytes: 25_000, ..patient() });
    let uploads = [new_upload(), new_upload(), new_upload(), new_upload()];
    let list = list(40);
    let bodies: Vec<Vec<u8>> = (0..40).map(|seed| pattern(3_000, seed)).collect();
    for (id, body) in list.iter().zip(&bodies) {
        for upload in &uploads {
            put(&storage, upload, id, body).await;
        }
    }
    assert!(bucket.keys("uploads/").iter().any(|key| key.contains("-s")), "nothing was spilled");
    for upload in &uploads {
        commits_to(&storage, upload, &list, &bodies.concat()).await;
        storage.discard(upload).await.unwrap();
    }
    assert_eq!(bucket.keys("uploads/"), Vec::<String>::new());
    assert_eq!(bucket.open_multiparts(), 0);
    assert_eq!(storage.shared.memory.held_bytes(), 0);
}

#[tokio::test]
async fn large_uploads_stay_within_their_memory() {
    let bucket = MemoryBucket::new(part_size::MIN_PART_BYTES, 10_000);
    let faults = Faults::none();
    faults.add("put_part", 0, usize::MAX, Fault::Delay(Duration::from_millis(20)));
    let faulty = Arc::new(FaultyBucket { inner: bucket, faults });
    let storage = open(faulty, &ObjectSettings::new(16 << 20));
    let chunk = bytes::Bytes::from(pattern(1 << 20, 1));
    let source = |mebibytes: usize, is_announced: bool| {
        let length = is_announced.then_some((mebibytes << 20) as u64);
        Source::new(length, futures_util::stream::iter(vec![chunk.clone(); mebibytes]).map(Ok).boxed())
    };
    let upload = new_upload();
    let list = list(8);
    let puts = list.iter().map(|id| storage.put_block(&upload, id, source(12, true)));
    let (puts, put) = futures_util::future::join(
        futures_util::future::join_all(puts),
        storage.put(&upload, source(24, true)),
    )
    .await;
    assert!(puts.into_iter().all(|put| put.is_ok()));
    assert_eq!(put.unwrap().size_bytes, 24 << 20);
    assert_eq!(storage.commit(&upload, &list).await.unwrap().size_bytes, 96 << 20);
    let peak = storage.shared.memory.peak_bytes();
    assert!((10 << 20..=16 << 20).contains(&peak), "{peak}");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing_open() {
    let bucket = bucket();
    let storage = storage(&bucket);
    let upload = new_upload();
    let bytes = pattern(200_000, 1);
    let stuck = crate::conformance::stuck(Some(300_000), &bytes);
    let dropped = tokio::time::timeout(Duration::from_millis(100), storage.put(&upload, stuck)).await;
    assert!(dropped.is_err());
    until("the multipart is given up", || bucket.open_multiparts() == 0).await;
    assert_eq!(bucket.keys(""), Vec::<String>::new());
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_later() {
    let bucket = bucket();
    let faults = Faults::none();
    let faulty = Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() });
    let storage = open(faulty, &small());
    let upload = new_upload();
    let list = list(100);
    let body = pattern(1_000, 1);
    put(&storage, &upload, &list[0], &body).await;
    faults.set_down(true);
    for id in &list[1..] {
        // Those that have to wait for a part to be sent fail, and are sent again below.
        let _ = storage.put_block(&upload, id, crate::conformance::whole(&body)).await;
    }
    storage.commit(&upload, &list).await.unwrap_err();
    faults.set_down(false);
    let stored = storage.commit(&upload, &list).await.unwrap();
    assert_content(&storage, &stored.object, &body.repeat(100)).await;
}

#[tokio::test]
async fn uploads_that_nobody_uses_are_forgotten_and_read_back() {
    let bucket = bucket();
    let storage = open(bucket.clone(), &patient());
    let upload = new_upload();
    put(&storage, &upload, &id("a"), &pattern(usize::try_from(MIN).unwrap(), 1)).await;
    put(&storage, &upload, &id("b"), b"rest").await;
    let is_old = |session: &crate::objects::session::Session| !session.staging.lock().has_unwritten();
    storage.shared.uploads.forget_idle(is_old);
    assert_eq!(storage.shared.uploads.count(), 1, "a block in memory only was forgotten");
    storage.settle().await.unwrap();
    storage.shared.uploads.forget_idle(is_old);
    assert_eq!(storage.shared.uploads.count(), 0);
    let expected = [pattern(usize::try_from(MIN).unwrap(), 1), b"rest".to_vec()].concat();
    assert!(commits_to(&storage, &upload, &[id("a"), id("b")], &expected).await);
}
