use std::time::Instant;

use super::*;
use crate::{
    conformance::{assert_not_found, id, new_upload, pattern, read, whole},
    fs::{FsStorage, budget::Budget},
};

fn faulty() -> (tempfile::TempDir, FaultyStorage) {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(FsStorage::open(dir.path().to_owned(), Budget::new(1 << 20)).unwrap());
    (dir, FaultyStorage { inner, faults: Faults::none() })
}

#[tokio::test]
async fn what_is_not_planned_goes_through() {
    let (_dir, storage) = faulty();
    storage.faults.add("commit", 0, 1, Fault::Fail);
    let stored = storage.put(&new_upload(), whole(b"abc")).await.unwrap();
    assert_eq!(storage.stat(&stored.object).await.unwrap(), 3);
    assert_eq!(storage.faults.take_calls(), ["put", "stat"]);
}

#[tokio::test]
async fn faults_come_when_they_are_planned_and_end() {
    let (_dir, storage) = faulty();
    let object = storage.put(&new_upload(), whole(b"abc")).await.unwrap().object;
    storage.faults.add("stat", 1, 2, Fault::Miss);
    assert!(storage.stat(&object).await.is_ok());
    assert_not_found(storage.stat(&object).await);
    assert_not_found(storage.stat(&object).await);
    assert!(storage.stat(&object).await.is_ok());
    storage.faults.set_down(true);
    assert!(matches!(storage.stat(&object).await, Err(StorageError::Unavailable { .. })));
    storage.faults.clear();
    assert!(storage.stat(&object).await.is_ok());
}

#[tokio::test]
async fn a_lost_answer_is_of_a_call_that_was_made() {
    let (_dir, storage) = faulty();
    let upload = new_upload();
    storage.put_block(&upload, &id("a"), whole(b"abc")).await.unwrap();
    storage.faults.add("commit", 0, 1, Fault::LoseAnswer);
    storage.commit(&upload, &[id("a")]).await.unwrap_err();
    assert_eq!(storage.list_objects(None).await.unwrap().items.len(), 1);
    // The repeat finds it.
    storage.commit(&upload, &[id("a")]).await.unwrap();
    assert_eq!(storage.list_objects(None).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn content_is_cut_exactly_and_with_an_error() {
    let (_dir, storage) = faulty();
    let bytes = pattern(300_000, 1);
    let object = storage.put(&new_upload(), whole(&bytes)).await.unwrap().object;
    for after in [0, 1, 100_000, 300_000] {
        storage.faults.add("open", 0, 1, Fault::Cut(after));
        let mut content = storage.open(&object, 300_000, None).await.unwrap();
        let mut came = Vec::new();
        let mut failed = false;
        while let Some(chunk) = content.chunks.next().await {
            match chunk {
                Ok(chunk) => came.extend_from_slice(&chunk),
                Err(_) => failed = true,
            }
        }
        assert!(failed && came.len() as u64 == after && bytes.starts_with(&came), "{after}");
    }
    assert!(read(storage.open(&object, 300_000, None).await.unwrap()).await.unwrap() == bytes);
}

#[tokio::test]
async fn delays_delay() {
    let (_dir, storage) = faulty();
    storage.faults.add("list_objects", 0, 1, Fault::Delay(Duration::from_millis(50)));
    let began = Instant::now();
    storage.list_objects(None).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(50));
}
