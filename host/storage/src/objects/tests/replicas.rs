//! Several processes on one bucket, and processes that crash.

use std::{sync::Arc, time::Duration};

use futures_util::future;

use super::{MemoryBucket, bucket, commits_to, open, patient, put, small, storage, toolkit_id};
use crate::{
    BlockId, Storage, UploadName,
    conformance::{assert_content, assert_invalid, id, ids, new_upload, pattern, whole},
    objects::ObjectStorage,
    testing::{
        faulty::{Fault, Faults},
        faulty_bucket::FaultyBucket,
    },
};

#[tokio::test]
async fn blocks_that_several_processes_received_are_one_object() {
    let bucket = bucket();
    let replicas = [storage(&bucket), storage(&bucket), storage(&bucket)];
    let upload = new_upload();
    let list: Vec<BlockId> = (0..9).map(toolkit_id).collect();
    let bodies: Vec<Vec<u8>> = (0..9).map(|seed| pattern(20_000 + 10_000 * seed, seed as u64)).collect();
    let puts = (0..9).map(|at| put(&replicas[at % 3], &upload, &list[at], &bodies[at]));
    future::join_all(puts).await;
    assert!(!commits_to(&replicas[1], &upload, &list, &bodies.concat()).await);
    for replica in &replicas {
        let listed = replica.list_objects(None).await.unwrap().items;
        assert_eq!(listed.len(), 1, "the data of an object is no object: {listed:?}");
        assert_eq!(replica.commit(&upload, &list).await.unwrap().object, listed[0].name);
        assert_invalid(replica.commit(&upload, &list[1..]).await);
    }
    let object = replicas[0].commit(&upload, &list).await.unwrap().object;
    for replica in &replicas {
        replica.discard(&upload).await.unwrap();
    }
    assert_content(&replicas[2], &object, &bodies.concat()).await;
    replicas[0].remove(&object).await.unwrap();
    assert_eq!(bucket.keys(""), Vec::<String>::new());
    assert_eq!(bucket.open_multiparts(), 0);
}

#[tokio::test]
async fn small_blocks_in_the_memory_of_another_process_are_waited_for() {
    let bucket = bucket();
    let (one, other) = (storage(&bucket), storage(&bucket));
    let upload = new_upload();
    put(&one, &upload, &id("a"), b"one").await;
    put(&other, &upload, &id("b"), b"other").await;
    put(&one, &upload, &id("c"), &pattern(50_000, 1)).await;
    let expected = [b"one".to_vec(), b"other".to_vec(), pattern(50_000, 1)].concat();
    commits_to(&other, &upload, &ids(["a", "b", "c"]), &expected).await;
}

#[tokio::test]
async fn a_listing_has_the_small_blocks_of_other_processes() {
    let bucket = bucket();
    let (one, other) = (storage(&bucket), storage(&bucket));
    let upload = new_upload();
    put(&one, &upload, &id("a"), b"one").await;
    // One that took no block itself, and one that did.
    assert_eq!(other.blocks(&upload).await.unwrap().len(), 1);
    put(&other, &upload, &id("b"), b"other").await;
    put(&one, &upload, &id("c"), b"last").await;
    assert_eq!(other.blocks(&upload).await.unwrap().len(), 3);
}

/// A process with blocks whose part could not be sent yet, in a multipart upload that has block `a`
/// already.
async fn with_unsent_blocks(
    faults: &Arc<Faults>,
    bucket: &Arc<MemoryBucket>,
    upload: &UploadName,
) -> ObjectStorage {
    let faulty = FaultyBucket { inner: bucket.clone(), faults: faults.clone() };
    let storage = open(Arc::new(faulty), &patient());
    put(&storage, upload, &id("a"), &pattern(30_000, 1)).await;
    faults.take_calls();
    faults.add("put_part", 0, 1, Fault::Fail);
    for small in ["w", "x", "y", "z"] {
        put(&storage, upload, &id(small), &pattern(4_000, 2)).await;
    }
    while !faults.take_calls().contains(&"put_part") {
        tokio::task::yield_now().await;
    }
    storage
}

#[tokio::test]
async fn memory_of_an_upload_that_another_process_ended_is_given_up() {
    for is_committed in [false, true] {
        let (bucket, faults) = (bucket(), Faults::none());
        let upload = new_upload();
        let one = with_unsent_blocks(&faults, &bucket, &upload).await;
        let other = storage(&bucket);
        if is_committed {
            commits_to(&other, &upload, &ids(["a"]), &pattern(30_000, 1)).await;
        } else {
            other.discard(&upload).await.unwrap();
        }
        one.settle().await.unwrap();
        assert_eq!(one.shared.memory.held_bytes(), 0);
        // Later blocks are refused, or begin a new upload.
        let again = one.put_block(&upload, &id("a"), whole(b"new")).await;
        assert_eq!(again.is_err(), is_committed);
        if !is_committed {
            commits_to(&one, &upload, &ids(["a"]), b"new").await;
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_overtaken_while_it_sends_returns_the_object_of_the_other() {
    let (bucket, faults) = (bucket(), Faults::none());
    let upload = new_upload();
    let one = with_unsent_blocks(&faults, &bucket, &upload).await;
    faults.add("put_part", 0, 1, Fault::Delay(Duration::from_secs(1)));
    let name = upload.clone();
    let overtaken = tokio::spawn(async move { one.commit(&name, &ids(["a"])).await });
    while !faults.take_calls().contains(&"put_part") {
        tokio::task::yield_now().await;
    }
    let first = storage(&bucket).commit(&upload, &ids(["a"])).await.unwrap();
    assert_eq!(overtaken.await.unwrap().unwrap(), first);
}

#[tokio::test]
async fn commits_of_several_processes_at_once_return_one_object() {
    for _ in 0..10 {
        let bucket = bucket();
        let replicas = [storage(&bucket), storage(&bucket), storage(&bucket)];
        let upload = new_upload();
        for (at, replica) in replicas.iter().enumerate() {
            put(replica, &upload, &id(&format!("large {at}")), &pattern(30_000, at as u64)).await;
            put(replica, &upload, &id(&format!("small {at}")), &pattern(300, at as u64)).await;
            replica.settle().await.unwrap();
        }
        let list = ids(["small 2", "large 1", "large 0", "small 0"]);
        let commits = future::join_all(replicas.iter().map(|replica| replica.commit(&upload, &list))).await;
        let first = commits[0].as_ref().unwrap();
        assert!(commits.iter().all(|stored| stored.as_ref().unwrap() == first));
        let expected = [pattern(300, 2), pattern(30_000, 1), pattern(30_000, 0), pattern(300, 0)].concat();
        assert_content(&replicas[0], &first.object, &expected).await;
        assert_eq!(replicas[0].list_objects(None).await.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn what_was_staged_before_a_restart_is_one_object_with_what_comes_after() {
    let bucket = bucket();
    let upload = new_upload();
    let list: Vec<BlockId> = (0..4).map(toolkit_id).collect();
    let bodies: Vec<Vec<u8>> = [40_000, 40_000, 40_000, 700].iter().map(|n| pattern(*n, *n as u64)).collect();
    let before = storage(&bucket);
    for at in [0, 3, 2, 1] {
        put(&before, &upload, &list[at], &bodies[at]).await;
    }
    before.settle().await.unwrap();
    drop(before);
    let after = storage(&bucket);
    assert_eq!(after.blocks(&upload).await.unwrap().len(), 4);
    // All parts are in one multipart upload, and the leftovers are its last part: the object is
    // plain.
    assert!(commits_to(&after, &upload, &list, &bodies.concat()).await);

    let upload = new_upload();
    let before = storage(&bucket);
    put(&before, &upload, &list[0], &bodies[0]).await;
    drop(before);
    let after = storage(&bucket);
    put(&after, &upload, &list[1], &bodies[1]).await;
    put(&after, &upload, &list[0], &bodies[2]).await;
    commits_to(&after, &upload, &list[..2], &[&bodies[2][..], &bodies[1]].concat()).await;
}

#[tokio::test]
async fn small_blocks_of_a_killed_process_are_refused_not_wrong() {
    let bucket = bucket();
    let upload = new_upload();
    let killed = open(bucket.clone(), &patient());
    put(&killed, &upload, &id("a"), &pattern(50_000, 1)).await;
    put(&killed, &upload, &id("b"), b"in memory").await;
    drop(killed);
    let after = open(bucket.clone(), &small());
    assert_invalid(after.commit(&upload, &ids(["a", "b"])).await);
    put(&after, &upload, &id("b"), b"again").await;
    let expected = [pattern(50_000, 1), b"again".to_vec()].concat();
    assert!(commits_to(&after, &upload, &ids(["a", "b"]), &expected).await);
}

#[tokio::test]
async fn an_upload_that_another_process_discarded_begins_anew() {
    let bucket = bucket();
    let (one, other) = (storage(&bucket), storage(&bucket));
    let upload = new_upload();
    put(&one, &upload, &id("a"), &pattern(50_000, 1)).await;
    other.discard(&upload).await.unwrap();
    assert_invalid(one.commit(&upload, &ids(["a"])).await);
    put(&one, &upload, &id("a"), b"new").await;
    assert!(commits_to(&one, &upload, &ids(["a"]), b"new").await);
}

#[tokio::test]
async fn multiparts_that_nothing_else_tells_of_are_listed_and_discarded() {
    let bucket = bucket();
    let storage = storage(&bucket);
    let upload = new_upload();
    // The leftovers of a process that is killed while it stores a large object.
    let stuck = crate::conformance::stuck(None, &pattern(200_000, 1));
    let (killed, name) = (super::storage(&bucket), upload.clone());
    let put = tokio::spawn(async move { killed.put(&name, stuck).await.map(drop) });
    while bucket.open_multiparts() == 0 {
        tokio::task::yield_now().await;
    }
    let mut listed = Vec::new();
    let mut from = None;
    loop {
        let page = storage.list_uploads(from.as_deref()).await.unwrap();
        listed.extend(page.items.into_iter().map(|item| item.name));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(listed, std::slice::from_ref(&upload));
    storage.discard(&upload).await.unwrap();
    assert_eq!(bucket.open_multiparts(), 0);
    put.abort();
    storage.put(&upload, whole(b"a")).await.unwrap();
}
