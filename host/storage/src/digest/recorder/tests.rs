#![expect(clippy::unwrap_used, reason = "tests")]

use std::{sync::mpsc, time::Duration};

use futures_util::stream;
use tokio::time::timeout;

use super::*;
use crate::{Source, sha256, testing::pattern};

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(60);

fn recorder(threads: usize) -> DigestRecorder {
    DigestRecorder::with_threads(Arc::new(Semaphore::new(threads)))
}

fn chunk(length: usize) -> Bytes {
    Bytes::from(pattern(length, length as u64))
}

fn queued(recorder: &DigestRecorder) -> usize {
    recorder.0.state.lock().queued_bytes
}

/// Chunks as a recorder sees them.
fn recording(recorder: &DigestRecorder, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Recording {
    Recording { chunks: chunks.map(Ok).boxed(), recorder: recorder.clone() }
}

/// A runtime with one thread for blocking work, which is busy until the result is dropped.
fn with_its_thread_busy() -> (tokio::runtime::Runtime, mpsc::Sender<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (free, busy) = mpsc::channel::<()>();
    drop(runtime.spawn_blocking(move || busy.recv()));
    (runtime, free)
}

/// Waits until a thread that was borrowed is given back.
async fn given_back(recorder: &DigestRecorder, threads: u32) {
    drop(timeout(LONG, recorder.0.threads.acquire_many(threads)).await.unwrap().unwrap());
}

#[tokio::test]
async fn the_digest_is_that_of_the_bytes_in_their_order() {
    let bytes = pattern(5_000_001, 1);
    for (chunk_bytes, threads) in [(999, 1), (16 << 10, 1), (256 << 10, 1), (3 << 20, 1), (256 << 10, 0)] {
        let recorder = recorder(threads);
        let chunks: Vec<_> = bytes.chunks(chunk_bytes).map(Bytes::copy_from_slice).collect();
        let mut seen = recording(&recorder, stream::iter(chunks));
        while let Some(chunk) = seen.next().await {
            chunk.unwrap();
            assert!(queued(&recorder) < MAX_QUEUED_BYTES + chunk_bytes);
        }
        let length = bytes.len() as u64;
        assert_eq!(recorder.finish(length + 1).await, None, "{chunk_bytes}");
        assert_eq!(recorder.finish(length).await, Some(sha256(&bytes)), "{chunk_bytes}");
    }
}

#[test]
fn a_thread_hashes_what_waits_and_is_given_back() {
    let (runtime, free) = with_its_thread_busy();
    runtime.block_on(async {
        let recorder = recorder(1);
        let chunks = [chunk(MIN_SHARED_BYTES - 1), chunk(1), chunk(70_000)];
        recorder.push(chunks[0].clone());
        assert_eq!(recorder.0.threads.available_permits(), 1, "not worth one yet");
        recorder.push(chunks[1].clone());
        recorder.push(chunks[2].clone());
        assert_eq!(recorder.0.threads.available_permits(), 0);
        assert_eq!(queued(&recorder), MIN_SHARED_BYTES + 70_000);
        drop(free);
        given_back(&recorder, 1).await;
        assert_eq!(queued(&recorder), 0, "nobody else has hashed them");
        let all = chunks.concat();
        assert_eq!(recorder.finish(all.len() as u64).await, Some(sha256(&all)));
    });
}

#[test]
fn a_thread_that_does_not_come_holds_nothing_up() {
    let (runtime, free) = with_its_thread_busy();
    runtime.block_on(async {
        let recorder = recorder(1);
        let chunks = vec![chunk(256 << 10); 40];
        let mut seen = recording(&recorder, stream::iter(chunks.clone()));
        while let Some(chunk) = timeout(LONG, seen.next()).await.unwrap() {
            chunk.unwrap();
            assert!(queued(&recorder) <= MAX_QUEUED_BYTES);
        }
        let all = chunks.concat();
        let digest = timeout(LONG, recorder.finish(all.len() as u64)).await.unwrap();
        assert_eq!(digest, Some(sha256(&all)));
        assert_eq!(recorder.0.threads.available_permits(), 0, "it was asked for");
    });
    drop(free);
}

#[tokio::test]
async fn without_a_free_thread_bytes_are_hashed_where_they_arrive() {
    let recorder = recorder(0);
    recorder.push(chunk(MIN_SHARED_BYTES));
    assert_eq!(queued(&recorder), 0);
    // Nor without a runtime.
    let elsewhere = std::thread::spawn(|| {
        let recorder = DigestRecorder::with_threads(Arc::new(Semaphore::new(1)));
        recorder.push(chunk(MIN_SHARED_BYTES));
        queued(&recorder)
    });
    assert_eq!(elsewhere.join().unwrap(), 0);
}

#[tokio::test]
async fn a_body_that_pauses_holds_no_bytes_and_no_thread() {
    let recorder = recorder(1);
    let mut seen = recording(&recorder, stream::iter([chunk(100_000)]).chain(stream::pending()));
    seen.next().await.unwrap().unwrap();
    assert_eq!(queued(&recorder), 100_000);
    assert!(futures_util::poll!(seen.next()).is_pending());
    assert_eq!(queued(&recorder), 0);
    assert_eq!(recorder.0.threads.available_permits(), 1);
}

#[test]
fn a_body_that_is_dropped_leaves_no_bytes_and_no_thread() {
    let (runtime, free) = with_its_thread_busy();
    runtime.block_on(async {
        let recorder = recorder(1);
        let threads = Arc::clone(&recorder.0.threads);
        let body = Arc::downgrade(&recorder.0);
        let mut seen = recording(&recorder, stream::iter(vec![chunk(256 << 10); 2]));
        seen.next().await.unwrap().unwrap();
        drop((seen, recorder));
        assert_eq!(threads.available_permits(), 0);
        drop(free);
        drop(timeout(LONG, threads.acquire()).await.unwrap().unwrap());
        drop(runtime.handle().spawn_blocking(|| ()).await);
        assert!(body.upgrade().is_none());
    });
}

#[tokio::test]
async fn a_body_that_fails_has_no_digest() {
    let chunks = stream::iter([Ok(chunk(300_000)), Err(SourceError::CutShort)]);
    let mut source = Source::new(Some(400_000), chunks.boxed()).recording_digest();
    let recorder = source.recorder().unwrap();
    while source.chunks.next().await.is_some() {}
    assert_eq!(recorder.finish(400_000).await, None);
}
