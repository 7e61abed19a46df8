#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::{
    Storage as _,
    conformance::{new_upload, pattern, whole},
    fs::tests::Temporary,
};

/// The lag of the disk, as a test plans it.
#[derive(Debug, Default)]
pub(in crate::fs) struct Lag(AtomicU64);

impl Lag {
    fn set(&self, lag: Duration) {
        self.0.store(u64::try_from(lag.as_millis()).unwrap(), Relaxed);
    }

    pub(super) fn wait(&self) {
        let lag = self.0.load(Relaxed);
        if lag > 0 {
            std::thread::sleep(Duration::from_millis(lag));
        }
    }
}

/// Fault 11: a slow disk blocks a thread once, and then only the calls that need it.
#[tokio::test]
async fn a_slow_look_open_or_create_keeps_nobody_else_waiting() {
    let fixture = Temporary::new();
    let object = fixture.fs().put(&new_upload(), whole(b"content")).await.unwrap().object;
    fixture.fs().disk.lag.set(Duration::from_millis(50));
    // The first slow calls.
    fixture.fs().stat(&object).await.unwrap();
    fixture.fs().put(&new_upload(), whole(b"1")).await.unwrap();
    // From now on each call frees the thread at once, and still gets its result.
    for _ in 0..2 {
        let mut stat = fixture.fs().stat(&object);
        assert!((&mut stat).now_or_never().is_none());
        assert_eq!(stat.await.unwrap(), 7);
        let mut open = fixture.fs().open(&object, 7, None);
        assert!((&mut open).now_or_never().is_none());
        assert!(open.await.is_ok());
        let upload = new_upload();
        let mut put = fixture.fs().put(&upload, whole(b"1"));
        assert!((&mut put).now_or_never().is_none());
        assert_eq!(put.await.unwrap().size_bytes, 1);
    }
}

/// Fast calls are made in place: handing them to a thread would cost several times as much.
#[tokio::test]
async fn on_a_quick_disk_a_look_is_made_in_place() {
    let fixture = Temporary::new();
    let object = fixture.fs().put(&new_upload(), whole(b"content")).await.unwrap().object;
    // A busy machine may make one of these slow; then it is not used in place for a while.
    let in_place = (0..100).any(|_| {
        fixture.fs().disk.inline.queries.allowed() && fixture.fs().stat(&object).now_or_never().is_some()
    });
    assert!(in_place || !fixture.fs().disk.inline.queries.allowed());
}

/// Two threads that make files in one directory wait for each other in the kernel, with all that is on them.
#[tokio::test]
async fn a_file_is_not_made_in_place_while_another_one_is() {
    let fixture = Temporary::new();
    let disk = fixture.fs().disk.clone();
    let upload = new_upload();
    {
        let _other = disk.inline.creations.begin();
        let mut put = fixture.fs().put(&upload, whole(b"1"));
        assert!((&mut put).now_or_never().is_none());
        assert_eq!(put.await.unwrap().size_bytes, 1);
    }
    let alone = disk.inline.creations.begin_alone();
    assert!(alone.is_some(), "those that were made do not count");
    assert!(disk.inline.creations.begin_alone().is_none());
}

/// Fault 9: a used-up share is waited for, and comes back.
#[tokio::test]
async fn downloads_keep_to_their_share_of_descriptors() {
    let shares = FileShares { downloads: 2, ..FileShares::default() };
    let fixture = Temporary::with_shares(shares);
    let bytes = pattern(200_000, 1);
    let object = fixture.fs().put(&new_upload(), whole(&bytes)).await.unwrap().object;
    let first = fixture.fs().open(&object, 200_000, None).await.unwrap();
    let second = fixture.fs().open(&object, 200_000, None).await.unwrap();
    let mut third = fixture.fs().open(&object, 200_000, None);
    assert!((&mut third).now_or_never().is_none());
    drop(first);
    let third = third.await.unwrap();
    let read: Vec<_> = third.chunks.map(Result::unwrap).collect().await;
    assert!(read.concat() == bytes);
    drop(second);
}
