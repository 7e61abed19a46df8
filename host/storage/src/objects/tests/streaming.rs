//! Bodies that are streamed through.

use std::sync::Arc;

use futures_util::future;

use super::{MIN, MemoryBucket, commits_to, open, put, small, toolkit_id};
use crate::{
    Storage,
    conformance::{self, assert_content, failing_sources, id, new_upload, pattern, unannounced, whole},
    objects::ObjectStorage,
    testing::{
        faulty::{Fault, Faults},
        faulty_bucket::FaultyBucket,
    },
};

/// Longer than a buffered body.
const LARGE: usize = 40_000;
const LIMIT: u64 = 100_000;

fn bucket() -> (Arc<MemoryBucket>, Arc<Faults>, ObjectStorage) {
    let (bucket, faults) = (MemoryBucket::that_takes_what_comes(MIN, 10_000, LIMIT), Faults::none());
    let storage = open(Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() }), &small());
    (bucket, faults, storage)
}

fn count(faults: &Faults, call: &str) -> usize {
    faults.take_calls().iter().filter(|made| **made == call).count()
}

mod storage_on_it {
    use super::*;
    use crate::objects::tests::fixture::ObjectFixture;

    conformance::storage_conformance!(ObjectFixture::new(
        MemoryBucket::that_takes_what_comes(MIN, 10_000, LIMIT),
        small(),
    ));
}

#[tokio::test]
async fn a_large_block_is_one_part_and_takes_no_room() {
    let (_, faults, storage) = bucket();
    let (upload, body) = (new_upload(), pattern(LARGE, 1));
    let list: Vec<_> = (0..8).map(toolkit_id).collect();
    // Backwards, several at once: the toolkit's ids contain the index.
    let puts = list.iter().rev().map(|id| put(&storage, &upload, id, &body));
    future::join_all(puts).await;
    assert_eq!(count(&faults, "send_part"), 8);
    assert_eq!(storage.shared.memory.peak_bytes(), 0);
    assert!(commits_to(&storage, &upload, &list, &body.repeat(8)).await, "it lies in pieces");
}

#[tokio::test]
async fn a_large_object_is_one_request() {
    let (bucket, faults, storage) = bucket();
    let body = pattern(LARGE, 1);
    let stored = storage.put(&new_upload(), whole(&body)).await.unwrap();
    assert_content(&storage, &stored.object, &body).await;
    assert_eq!(
        faults.take_calls().iter().filter(|call| call.starts_with("send") || call.starts_with("put")).count(),
        1
    );
    assert_eq!(storage.shared.memory.peak_bytes(), 0);
    assert_eq!(bucket.open_multiparts(), 0);
}

#[tokio::test]
async fn what_is_too_long_or_of_unknown_length_comes_in_parts() {
    let (_, faults, storage) = bucket();
    let body = pattern(2 * LARGE + 30_000, 1);
    for source in [whole(&body), unannounced(&body)] {
        let stored = storage.put(&new_upload(), source).await.unwrap();
        assert_content(&storage, &stored.object, &body).await;
    }
    let upload = new_upload();
    storage.put_block(&upload, &id("a"), whole(&body)).await.unwrap();
    storage.put_block(&upload, &id("b"), unannounced(&body)).await.unwrap();
    commits_to(&storage, &upload, &[id("b"), id("a")], &body.repeat(2)).await;
    assert_eq!(faults.take_calls().iter().filter(|call| call.starts_with("send")).count(), 0);
}

#[tokio::test]
async fn a_block_that_broke_off_comes_again() {
    let (_, faults, storage) = bucket();
    let (upload, body) = (new_upload(), pattern(LARGE, 1));
    let (first, second) = (toolkit_id(0), toolkit_id(1));
    put(&storage, &upload, &first, &body).await;
    for source in failing_sources() {
        storage.put_block(&upload, &second, source).await.unwrap_err();
    }
    for fault in [Fault::Fail, Fault::LoseAnswer] {
        faults.add("send_part", 0, 1, fault);
        storage.put_block(&upload, &second, whole(&body)).await.unwrap_err();
    }
    storage.commit(&upload, &[first.clone(), second.clone()]).await.unwrap_err();
    let other = pattern(LARGE + 5, 2);
    put(&storage, &upload, &second, &other).await;
    commits_to(&storage, &upload, &[first, second], &[body, other].concat()).await;
}
