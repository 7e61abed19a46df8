//! A process that crashes, or a bucket that fails, between any two requests.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{MemoryBucket, bucket, open, patient, storage};
use crate::{
    BlockId, ObjectName, Storage, StorageError, Stored, UploadName,
    conformance::{assert_content, ids, new_upload, pattern, whole},
    objects::ObjectStorage,
    testing::{
        faulty::{Fault, Faults},
        faulty_bucket::FaultyBucket,
    },
};

/// More requests than any of these uploads makes.
const MOST: usize = 200;

struct TestUpload {
    name: UploadName,
    list: Vec<BlockId>,
    bodies: Vec<Vec<u8>>,
}

impl TestUpload {
    /// `order`: `false` makes a segmented object.
    fn new(is_ordered: bool) -> Self {
        let list = if is_ordered { ids(["a", "b", "c"]) } else { ids(["c", "a", "b"]) };
        let bodies = [30_000, 25_000, 700].iter().map(|n| pattern(*n, *n as u64)).collect();
        Self { name: new_upload(), list, bodies }
    }

    async fn run(&self, storage: &ObjectStorage) -> Result<Stored, StorageError> {
        for (id, body) in ids(["a", "b", "c"]).iter().zip(&self.bodies) {
            storage.put_block(&self.name, id, whole(body)).await?;
        }
        storage.commit(&self.name, &self.list).await
    }

    fn expected(&self) -> Vec<u8> {
        let at = |id: &BlockId| ids(["a", "b", "c"]).iter().position(|known| known == id).unwrap();
        self.list.iter().flat_map(|id| self.bodies[at(id)].clone()).collect()
    }
}

async fn objects(storage: &ObjectStorage) -> BTreeSet<ObjectName> {
    let page = storage.list_objects(None).await.unwrap();
    assert!(page.next.is_none());
    page.items.into_iter().map(|item| item.name).collect()
}

/// Removes all listed objects and uploads; then nothing must be left.
async fn sweep(storage: &ObjectStorage, bucket: &MemoryBucket, upload: &TestUpload) {
    storage.discard(&upload.name).await.unwrap();
    for object in objects(storage).await {
        storage.remove(&object).await.unwrap();
    }
    assert_eq!(bucket.keys(""), Vec::<String>::new());
    assert_eq!(bucket.open_multiparts(), 0);
}

async fn ends_right_after(
    upload: &TestUpload,
    bucket: &Arc<MemoryBucket>,
    result: Result<Stored, StorageError>,
) {
    // In another process a repeat succeeds or is refused.
    let storage = storage(bucket);
    let again = storage.commit(&upload.name, &upload.list).await;
    match (&result, &again) {
        (Ok(stored), Ok(again)) => assert_eq!(stored, again),
        (Ok(stored), Err(error)) => panic!("{stored:?} was lost: {error:?}"),
        (Err(_), Err(StorageError::Invalid(_))) => {}
        (Err(_), Ok(_)) => {}
        (Err(_), Err(error)) => panic!("{error:?}"),
    }
    if let Ok(stored) = &again {
        assert_content(&storage, &stored.object, &upload.expected()).await;
        assert!(objects(&storage).await.contains(&stored.object));
    } else {
        // It can be sent again.
        let stored = upload.run(&storage).await.unwrap();
        assert_content(&storage, &stored.object, &upload.expected()).await;
    }
    sweep(&storage, bucket, upload).await;
}

#[tokio::test]
async fn a_process_that_ends_between_any_two_requests_leaves_all_or_nothing() {
    for is_ordered in [true, false] {
        for fault in [Fault::Fail, Fault::LoseAnswer] {
            for requests in 0..MOST {
                let (bucket, faults) = (bucket(), Faults::none());
                // The last request may have arrived; all later ones do not.
                faults.add("", requests, 1, fault.clone());
                faults.add("", requests, usize::MAX, Fault::Fail);
                let faulty = Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() });
                let storage = open(faulty, &patient());
                let upload = TestUpload::new(is_ordered);
                let result = upload.run(&storage).await;
                drop(storage);
                let is_over = result.is_ok() && faults.take_calls().len() <= requests;
                ends_right_after(&upload, &bucket, result).await;
                if is_over {
                    break;
                }
                assert!(requests + 1 < MOST, "it takes more requests than thought");
            }
        }
    }
}

#[tokio::test]
async fn any_one_request_that_fails_is_made_up_for_by_a_retry() {
    for fault in [Fault::Fail, Fault::LoseAnswer, Fault::NoSpace] {
        for requests in 0..MOST {
            let (bucket, faults) = (bucket(), Faults::none());
            faults.add("", requests, 1, fault.clone());
            let faulty = Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() });
            let storage = open(faulty, &patient());
            let upload = TestUpload::new(requests % 2 == 0);
            let mut stored = None;
            for _ in 0..3 {
                // Like a client: the failed request is sent again, until the commit succeeds.
                for (id, body) in ids(["a", "b", "c"]).iter().zip(&upload.bodies) {
                    for _ in 0..2 {
                        if storage.put_block(&upload.name, id, whole(body)).await.is_ok() {
                            break;
                        }
                    }
                }
                stored = storage.commit(&upload.name, &upload.list).await.ok();
                if stored.is_some() {
                    break;
                }
            }
            let made = faults.take_calls().len();
            faults.clear();
            assert_content(&storage, &stored.unwrap().object, &upload.expected()).await;
            sweep(&storage, &bucket, &upload).await;
            if made <= requests {
                break;
            }
        }
    }
}

#[tokio::test]
async fn requests_that_a_client_repeats_by_itself_are_harmless() {
    for call in ["put_new", "complete"] {
        for bodies in [vec![30_000, 25_000, 700], vec![10, 20, 30]] {
            let (bucket, faults) = (bucket(), Faults::none());
            faults.add(call, 0, 1, Fault::Repeat);
            let storage = open(Arc::new(FaultyBucket { inner: bucket.clone(), faults }), &patient());
            let bodies = bodies.iter().map(|n| pattern(*n, *n as u64)).collect();
            let upload = TestUpload { bodies, ..TestUpload::new(true) };
            let stored = upload.run(&storage).await.unwrap();
            assert_content(&storage, &stored.object, &upload.expected()).await;
            assert!(upload.run(&storage).await.is_err(), "it takes no more blocks");
            assert_eq!(storage.commit(&upload.name, &upload.list).await.unwrap(), stored);
            sweep(&storage, &bucket, &upload).await;
        }
    }
}

#[tokio::test]
async fn a_whole_object_is_stored_where_a_client_repeats_its_completion() {
    let (bucket, faults) = (bucket(), Faults::none());
    faults.add("complete", 0, 1, Fault::Repeat);
    let storage = open(Arc::new(FaultyBucket { inner: bucket, faults: faults.clone() }), &patient());
    let stored = storage.put(&new_upload(), whole(&pattern(100_000, 1))).await.unwrap();
    assert!(faults.take_calls().contains(&"complete"));
    assert_content(&storage, &stored.object, &pattern(100_000, 1)).await;
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_not_taken_for_objects_that_are() {
    let (bucket, faults) = (bucket(), Faults::none());
    let storage = open(Arc::new(FaultyBucket { inner: bucket, faults: faults.clone() }), &patient());
    let (plain, segmented) = (TestUpload::new(true), TestUpload::new(false));
    for stored in [plain.run(&storage).await.unwrap(), segmented.run(&storage).await.unwrap()] {
        for call in ["head", "read"] {
            faults.add(call, 0, usize::MAX, Fault::Miss);
        }
        let gone = storage.stat(&stored.object).await;
        assert!(matches!(gone, Err(StorageError::NotFound)), "{gone:?}");
        faults.add("list", 0, usize::MAX, Fault::Miss);
        for result in [
            storage.stat(&stored.object).await.map(drop),
            storage.presign(&stored.object, stored.size_bytes, Duration::from_secs(1)).await.map(drop),
        ] {
            assert!(matches!(result, Err(StorageError::Unavailable { .. })), "{result:?}");
        }
        faults.clear();
    }
}

#[tokio::test]
async fn settling_goes_on_behind_an_upload_that_fails() {
    let (bucket, faults) = (bucket(), Faults::none());
    let uploads = [new_upload(), new_upload(), new_upload()];
    let stopping = open(Arc::new(FaultyBucket { inner: bucket.clone(), faults: faults.clone() }), &patient());
    for upload in &uploads {
        stopping.put_block(upload, &ids(["a"])[0], whole(b"small")).await.unwrap();
    }
    faults.add("put", 0, 1, Fault::Fail);
    assert!(stopping.settle().await.is_err());
    drop(stopping);
    let storage = storage(&bucket);
    let mut kept = 0;
    for upload in &uploads {
        kept += usize::from(storage.commit(upload, &ids(["a"])).await.is_ok());
    }
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn a_removal_that_ends_half_way_leaves_what_is_listed() {
    for requests in 0..10 {
        let bucket = bucket();
        let upload = TestUpload::new(false);
        let stored = {
            // Two processes: the object has two data objects.
            let (one, other) = (storage(&bucket), storage(&bucket));
            let all = ids(["a", "b", "c"]);
            one.put_block(&upload.name, &all[0], whole(&upload.bodies[0])).await.unwrap();
            other.put_block(&upload.name, &all[1], whole(&upload.bodies[1])).await.unwrap();
            one.put_block(&upload.name, &all[2], whole(&upload.bodies[2])).await.unwrap();
            one.commit(&upload.name, &upload.list).await.unwrap()
        };
        let faults = Faults::none();
        faults.add("", requests, usize::MAX, Fault::Fail);
        let faulty = open(Arc::new(FaultyBucket { inner: bucket.clone(), faults }), &patient());
        let removed = faulty.remove(&stored.object).await;
        let storage = storage(&bucket);
        let listed = objects(&storage).await;
        assert_eq!(removed.is_ok(), listed.is_empty());
        assert!(listed.iter().all(|object| *object == stored.object), "{listed:?}");
        sweep(&storage, &bucket, &upload).await;
    }
}

#[tokio::test]
async fn pieces_near_each_other_are_read_with_one_request() {
    let (bucket, faults) = (bucket(), Faults::none());
    let storage = open(Arc::new(FaultyBucket { inner: bucket, faults: faults.clone() }), &patient());
    let upload = TestUpload::new(false);
    let stored = upload.run(&storage).await.unwrap();
    assert!(stored.object.as_str().starts_with("s-"));
    faults.take_calls();
    let content = storage.open(&stored.object, stored.size_bytes, None).await.unwrap();
    assert!(crate::conformance::read(content).await.unwrap() == upload.expected());
    assert_eq!(faults.take_calls(), ["read", "get"]);
    faults.add("get", 0, 1, Fault::Cut(100));
    let broken = storage.open(&stored.object, stored.size_bytes, None).await.map(drop);
    assert!(matches!(broken, Err(StorageError::Unavailable { .. })), "{broken:?}");
}

#[tokio::test]
async fn content_that_breaks_off_is_an_error() {
    let (bucket, faults) = (bucket(), Faults::none());
    let storage = open(Arc::new(FaultyBucket { inner: bucket, faults: faults.clone() }), &patient());
    // Too far from each other to be read with one request.
    let bodies = [1_500_000, 1_200_000, 700].iter().map(|n| pattern(*n, *n as u64)).collect();
    let upload = TestUpload { bodies, ..TestUpload::new(false) };
    let stored = upload.run(&storage).await.unwrap();
    for skip in 0..2 {
        faults.clear();
        faults.add("get", skip, 1, Fault::Cut(100));
        let content = storage.open(&stored.object, stored.size_bytes, None).await.unwrap();
        let read = crate::conformance::read(content);
        let read = tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
        assert!(matches!(read, Err(StorageError::Unavailable { .. })), "{skip}");
    }
}
