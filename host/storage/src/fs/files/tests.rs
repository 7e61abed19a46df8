#![allow(clippy::unwrap_used)]

use futures_util::{StreamExt, stream};
use larder_testing::run_with_descriptors;
use tokio::sync::oneshot;

use super::*;
use crate::{
    Source, Storage as _, StorageError,
    conformance::{
        assert_content, assert_invalid, id, ids, new_upload, pattern, put_block, unannounced, whole,
    },
    fs::{FileShares, tests::Temporary},
};

fn with_cache(uploads: usize) -> Temporary {
    Temporary::with_shares(FileShares { uploads, ..FileShares::default() })
}

/// Fault 9: idle uploads keep no descriptors.
#[tokio::test]
async fn no_more_files_are_open_than_may_be_and_nothing_is_lost() {
    let fixture = with_cache(6);
    let uploads: Vec<_> = (0..40).map(|_| new_upload()).collect();
    for block in ["a", "b", "a"] {
        for upload in &uploads {
            put_block(fixture.fs(), upload, block, upload.as_str().as_bytes()).await;
            assert!(fixture.fs().disk.files.count() <= 6);
        }
    }
    for upload in &uploads {
        let stored = fixture.fs().commit(upload, &ids(["a", "b"])).await.unwrap();
        assert_content(fixture.fs(), &stored.object, upload.as_str().repeat(2).as_bytes()).await;
    }
    assert_eq!(fixture.fs().disk.files.count(), 0, "what is committed or discarded is closed");
}

/// A source that reports when it is polled, and gives its bytes when it may continue.
fn paused(bytes: &[u8]) -> (Source, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (polled, was_polled) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let pause = stream::once(async move {
        polled.send(()).unwrap();
        may_go_on.await.unwrap();
    });
    let chunks = pause.flat_map(|()| stream::empty()).chain(whole(bytes).chunks).boxed();
    (Source::new(Some(bytes.len() as u64), chunks), was_polled, go_on)
}

/// Fault 9: nor do blocks without a byte yet.
#[tokio::test]
async fn a_block_under_way_finds_its_file_again_after_it_was_closed() {
    let fixture = with_cache(2);
    let (upload, bytes) = (new_upload(), pattern(300_000, 1));
    let (source, was_polled, go_on) = paused(&bytes);
    let meanwhile = async {
        was_polled.await.unwrap();
        for _ in 0..5 {
            put_block(fixture.fs(), &new_upload(), "x", b"x").await;
        }
        go_on.send(()).unwrap();
    };
    let block = id("a");
    let put = fixture.fs().put_block(&upload, &block, source);
    let (put, ()) = tokio::join!(put, meanwhile);
    assert_eq!(put.unwrap(), 300_000);
    let stored = fixture.fs().commit(&upload, &ids(["a"])).await.unwrap();
    assert_content(fixture.fs(), &stored.object, &bytes).await;
}

/// Bytes of a discarded upload never get into another one with its name.
#[tokio::test]
async fn a_block_under_way_does_not_find_the_file_of_another_upload_of_its_name() {
    for size in [5, 2_000_000] {
        let fixture = with_cache(2);
        let upload = new_upload();
        let (source, was_polled, go_on) = paused(&pattern(size, 1));
        let meanwhile = async {
            was_polled.await.unwrap();
            fixture.fs().discard(&upload).await.unwrap();
            put_block(fixture.fs(), &upload, "b", b"another").await;
            put_block(fixture.fs(), &new_upload(), "x", b"x").await;
            go_on.send(()).unwrap();
        };
        let block = id("a");
        let (put, ()) = tokio::join!(fixture.fs().put_block(&upload, &block, source), meanwhile);
        assert_invalid(put);
        let stored = fixture.fs().commit(&upload, &ids(["b"])).await.unwrap();
        assert_content(fixture.fs(), &stored.object, b"another").await;
    }
}

const FEW_DESCRIPTORS: &str = "LARDER_TEST_FEW_DESCRIPTORS";

/// Not a test of its own: [`hundreds_of_uploads_need_few_descriptors`] runs it with a low limit.
#[tokio::test]
async fn stages_hundreds_of_uploads() {
    if larder_testing::variable(FEW_DESCRIPTORS).is_none() {
        return;
    }
    let fixture = Temporary::new();
    let uploads: Vec<_> = (0..494).map(|_| new_upload()).collect();
    for upload in &uploads {
        put_block(fixture.fs(), upload, "a", b"1").await;
    }
    // Others still get descriptors.
    let open: Result<Vec<File>, _> = (0..50).map(|_| File::open("/dev/null")).collect();
    drop(open.unwrap());
    for upload in &uploads {
        let unknown = fixture.fs().put_block(upload, &id("b"), unannounced(b"2")).await;
        assert_eq!(unknown.unwrap(), 1);
        let stored = fixture.fs().commit(upload, &ids(["a", "b"])).await.unwrap();
        assert_content(fixture.fs(), &stored.object, b"12").await;
    }
    assert!(matches!(fixture.fs().commit(&new_upload(), &ids(["a"])).await, Err(StorageError::Invalid(_))));
}

/// Fault 9: 494 blocks of one byte in as many uploads were a total outage at a limit of 1,024; here
/// it is 256.
#[test]
fn hundreds_of_uploads_need_few_descriptors() {
    run_with_descriptors(256, "fs::files::tests::stages_hundreds_of_uploads", FEW_DESCRIPTORS);
}
