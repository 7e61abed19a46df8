//! The memory of all transfers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};

use super::Temporary;
use crate::{
    Source, StorageError,
    conformance::{Fixture, id, new_upload, pattern, whole},
    fs::{
        budget::{Budget, MIN_CHUNK_BYTES, MIN_READ_BYTES},
        space::Measured,
        writer,
    },
};

const CHUNK: usize = 16 << 10;
const TOTAL: u64 = 1 << 20;

#[tokio::test]
async fn slow_readers_stay_within_the_budget() {
    let budget = Budget::new(TOTAL);
    let fixture = Temporary::with_budget(Arc::clone(&budget));
    let bytes = pattern(2_000_000, 1);
    let object = fixture.storage().put(&new_upload(), whole(&bytes)).await.unwrap().object;
    let readers = 200;
    let mut contents = Vec::new();
    for _ in 0..readers {
        contents.push(fixture.storage().open(&object, 2_000_000, None).await.unwrap());
    }
    assert_eq!(budget.active(), readers);
    // Each client keeps a chunk and does not read on.
    let kept = future::join_all(contents.iter_mut().map(|content| content.chunks.next())).await;
    let bound = TOTAL + (readers * MIN_READ_BYTES) as u64;
    assert!(budget.peak_bytes() <= bound, "{} of {bound}", budget.peak_bytes());
    assert!(budget.held_bytes() >= (readers * MIN_READ_BYTES) as u64);
    drop((kept, contents));
    assert_eq!((budget.held_bytes(), budget.active()), (0, 0));
}

#[tokio::test]
async fn readers_that_start_one_after_the_other_stay_within_the_budget() {
    let budget = Budget::new(TOTAL);
    let fixture = Temporary::with_budget(Arc::clone(&budget));
    for length in [60_000, 2_000_000] {
        let object = fixture.storage().put(&new_upload(), whole(&pattern(length, 1))).await.unwrap().object;
        let mut kept = Vec::new();
        for _ in 0..100 {
            // The first ones count few transfers.
            let mut content = fixture.storage().open(&object, length as u64, None).await.unwrap();
            let chunk = content.chunks.next().await.unwrap().unwrap();
            kept.push((content, chunk));
            let bound = TOTAL + (kept.len() * MIN_READ_BYTES) as u64;
            assert!(budget.held_bytes() <= bound, "{} of {bound}", budget.held_bytes());
        }
    }
    assert_eq!(budget.held_bytes(), 0);
}

#[tokio::test]
async fn slow_writers_stay_within_the_budget() {
    let budget = Budget::new(TOTAL);
    let fixture = Temporary::with_budget(Arc::clone(&budget));
    let writers = 100;
    let puts = (0..writers).map(|number| {
        let upload = new_upload();
        let storage = fixture.storage();
        async move {
            // Bodies stall at different places.
            let chunks = stream::iter(0..60).then(move |chunk| async move {
                for _ in 0..(chunk * 31 + number) % 5 {
                    tokio::task::yield_now().await;
                }
                Ok(Bytes::from(vec![number as u8; CHUNK]))
            });
            let source = Source::new(Some(60 * CHUNK as u64), chunks.boxed());
            match number % 2 {
                0 => storage.put(&upload, source).await.unwrap().size_bytes,
                _ => storage.put_block(&upload, &id("a"), source).await.unwrap(),
            }
        }
    });
    for length in future::join_all(puts).await {
        assert_eq!(length, 60 * CHUNK as u64);
    }
    let bound = TOTAL + (writers * (MIN_CHUNK_BYTES + CHUNK)) as u64;
    assert!(budget.peak_bytes() <= bound, "{} of {bound}", budget.peak_bytes());
    assert!(budget.peak_bytes() >= TOTAL / 2, "the test must reach the bound: {}", budget.peak_bytes());
    assert_eq!((budget.held_bytes(), budget.active()), (0, 0));
}

#[tokio::test]
async fn abandoned_transfers_give_their_memory_back() {
    let budget = Budget::new(TOTAL);
    let fixture = Temporary::with_budget(Arc::clone(&budget));
    let bytes = pattern(20_000, 1);
    let upload = new_upload();
    let mut under_way = fixture.storage().put(&upload, crate::conformance::stuck(Some(30_000), &bytes));
    assert!((&mut under_way).now_or_never().is_none());
    assert_eq!(budget.held_bytes(), 20_000);
    drop(under_way);
    assert_eq!((budget.held_bytes(), budget.active()), (0, 0));
}

/// Bytes that are counted while they are in memory, independent of the budget.
struct Counted {
    bytes: Vec<u8>,
    alive: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.bytes.len() as u64, Relaxed);
    }
}

/// A source that makes each chunk when it is polled.
fn counted(count: usize, chunk_bytes: usize, alive: &Arc<AtomicU64>) -> Source {
    let alive = Arc::clone(alive);
    let chunks = stream::iter(0..count).map(move |_| {
        alive.fetch_add(chunk_bytes as u64, Relaxed);
        Ok(Bytes::from_owner(Counted { bytes: vec![1; chunk_bytes], alive: Arc::clone(&alive) }))
    });
    Source::new(Some((count * chunk_bytes) as u64), chunks.boxed())
}

/// A file to write to.
struct Sink(Arc<std::fs::File>);

impl writer::WriteTarget for Sink {
    fn file(&self) -> Result<Arc<std::fs::File>, StorageError> {
        Ok(Arc::clone(&self.0))
    }
}

#[test]
fn writers_that_wait_for_a_slow_disk_stay_within_the_budget() {
    const WRITERS: usize = 200;
    // The smallest that is kept, and not copied, where transfers are many.
    const SMALL_CHUNK: usize = MIN_CHUNK_BYTES;
    // More than is written in place.
    const CHUNKS: usize = 70;
    // One busy thread: every write stays pending.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    drop(runtime.spawn_blocking(move || released.recv()));
    let budget = Budget::new(TOTAL);
    let alive = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let sink = Arc::new(Sink(Arc::new(tempfile::tempfile().unwrap())));
        let fixture = Temporary::new();
        let disk = &fixture.fs().disk;
        // The free space is known, so no query is needed.
        disk.space.note(Measured { total: 1 << 40, free: 1 << 40 });
        let writes = (0..WRITERS).map(|_| {
            let (source, transfer, sink) = (counted(CHUNKS, SMALL_CHUNK, &alive), budget.transfer(), &sink);
            async move {
                let mut claim = disk.space.claim(source.length)?;
                writer::write(disk, sink, 0, source, &transfer, &mut claim).await
            }
        });
        let mut writes = future::join_all(writes);
        for _ in 0..1000 {
            assert!((&mut writes).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        let bound = TOTAL + (WRITERS * (MIN_CHUNK_BYTES + SMALL_CHUNK)) as u64;
        assert!(budget.peak_bytes() <= bound, "{} of {bound}", budget.peak_bytes());
        assert!(budget.held_bytes() > TOTAL, "the test must reach the bound");
        assert_eq!(
            budget.held_bytes(),
            alive.load(Relaxed),
            "what is held is counted, also while it is written"
        );
        release.send(()).unwrap();
        assert!(writes.await.into_iter().all(|length| length.unwrap() == (CHUNKS * SMALL_CHUNK) as u64));
    });
    assert_eq!((budget.held_bytes(), budget.active()), (0, 0));
}
