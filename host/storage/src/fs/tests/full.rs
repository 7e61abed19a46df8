//! A full disk, and how space is freed.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use futures_util::{StreamExt, future};
use larder_testing::SmallDisk;

use super::{BOOT, Temporary};
use crate::{
    Source, Storage, StorageError, UploadName,
    conformance::{
        Fixture, announced, assert_content, bounded, broken, id, ids, new_upload, pattern, put_block, stuck,
        whole,
    },
    fs::{FsSettings, FsStorage, budget::Budget},
};

const MIB: usize = 1 << 20;

/// What may be left of dozens of MiB: a page at each border of a freed range.
const KEPT_BYTES: u64 = 256 << 10;

/// The bytes that an upload's data takes on the disk, once all freed space is released.
async fn taken(fixture: &Temporary, upload: &UploadName, expected: u64) -> u64 {
    let data = fixture.root.path().join(format!("uploads/{upload}.data"));
    for _ in 0..500 {
        if fs::metadata(&data).unwrap().blocks() * 512 <= expected {
            break;
        }
        // In the background.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fs::metadata(data).unwrap().blocks() * 512
}

/// Fault 13: aborted blocks, at the end and in the middle, take no space.
#[tokio::test]
async fn blocks_that_break_off_keep_no_bytes() {
    let fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "kept", b"1").await;
    let bytes = pattern(3 * MIB, 1);
    for round in 0..3 {
        let sources = [broken(Some(4 << 20), &bytes), announced(4 << 20, &bytes)];
        for source in sources {
            fixture.storage().put_block(&upload, &id("broken"), source).await.unwrap_err();
        }
        // Several at once: not all of them are the last in the file.
        let block = id("broken");
        let puts = (0..8).map(|_| fixture.storage().put_block(&upload, &block, broken(None, &bytes)));
        future::join_all(puts).await;
        let block = id("broken");
        let puts =
            (0..8).map(|_| fixture.storage().put_block(&upload, &block, broken(Some(4 << 20), &bytes)));
        future::join_all(puts).await;
        put_block(fixture.storage(), &upload, &format!("kept {round}"), b"2").await;
    }
    assert!(taken(&fixture, &upload, KEPT_BYTES).await <= KEPT_BYTES);
    let list = ids(["kept", "kept 0", "kept 1", "kept 2"]);
    let stored = fixture.storage().commit(&upload, &list).await.unwrap();
    assert_content(fixture.storage(), &stored.object, b"1222").await;
}

/// Fault 13: nor do blocks that were incomplete when the process ended.
#[tokio::test]
async fn what_was_under_way_at_the_end_of_the_process_keeps_no_bytes() {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"1").await;
    let data = fixture.root.path().join(format!("uploads/{upload}.data"));
    put_block(fixture.storage(), &upload, "b", &pattern(2 * MIB, 1)).await;
    put_block(fixture.storage(), &upload, "c", b"3").await;
    // As if the record of `b`, and bytes of a fourth block, had been lost.
    let journal = fixture.root.path().join(format!("uploads/{upload}.journal"));
    put_block(fixture.storage(), &upload, "b", b"2").await;
    fixture.storage = None;
    let mut longer = fs::read(&data).unwrap();
    longer.extend(pattern(2 * MIB, 2));
    fs::write(&data, longer).unwrap();
    assert!(journal.exists());
    fixture.restart_in(BOOT);
    put_block(fixture.storage(), &upload, "d", b"4").await;
    assert!(taken(&fixture, &upload, KEPT_BYTES).await <= KEPT_BYTES);
    let stored = fixture.storage().commit(&upload, &ids(["a", "b", "c", "d"])).await.unwrap();
    assert_content(fixture.storage(), &stored.object, b"1234").await;
}

fn on(disk: &SmallDisk, reserve_bytes: Option<u64>) -> FsStorage {
    let settings = FsSettings { reserve_bytes, ..FsSettings::default() };
    let (root, budget) = (disk.path().join("storage"), Budget::new(4 << 20));
    FsStorage::open_in_boot(root, budget, BOOT.to_owned(), &settings).unwrap()
}

fn free(disk: &SmallDisk) -> u64 {
    let found = rustix::fs::statvfs(disk.path()).unwrap();
    found.f_bavail * found.f_frsize
}

/// Puts one block after the other until the storage is full: concurrent ones would be refused
/// before that, and their space is freed in the background.
async fn fill(storage: &FsStorage, bytes: &[u8]) -> Vec<UploadName> {
    let mut uploads = Vec::new();
    for _ in 0..500 {
        let upload = new_upload();
        match storage.put(&upload, whole(bytes)).await {
            Ok(_) => uploads.push(upload),
            Err(StorageError::NoSpace) if !storage.has_room().await.unwrap() => return uploads,
            Err(StorageError::NoSpace) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("there is room for ever");
}

/// Fault 13: the reserve stays free, even with a hundred bodies at once, and reads continue.
#[tokio::test]
async fn a_disk_is_filled_up_to_the_reserve_and_no_further() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let storage = on(&disk, None);
    let kept = storage.put(&new_upload(), whole(b"kept")).await.unwrap().object;
    let bytes = pattern(MIB, 1);
    let uploads: Vec<UploadName> = (0..100).map(|_| new_upload()).collect();
    let block = id("a");
    let puts = uploads.iter().enumerate().map(async |(number, upload)| match number % 3 {
        0 => storage.put(upload, whole(&bytes)).await.map(|_| ()),
        1 => storage.put_block(upload, &block, whole(&bytes)).await.map(|_| ()),
        _ => storage.put_block(upload, &block, Source { length: None, ..whole(&bytes) }).await.map(|_| ()),
    });
    let outcomes = bounded(future::join_all(puts)).await;
    let (stored, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(StorageError::NoSpace))), "{refused:?}");
    assert!(stored.len() >= 30 && refused.len() >= 40, "{} of 100 were stored", stored.len());
    let more = fill(&storage, &bytes).await;
    assert!(free(&disk) >= 16 << 20, "{} are free", free(&disk));
    assert_content(&storage, &kept, b"kept").await;
    for upload in uploads.iter().chain(&more) {
        storage.discard(upload).await.unwrap();
    }
    assert!(storage.has_room().await.unwrap(), "what was freed is there at once");
    assert!(storage.put(&new_upload(), whole(&bytes)).await.is_ok());
}

/// Fault 13: without a reserve the kernel refuses, and what did not fit is freed at once.
#[tokio::test]
async fn a_block_that_does_not_fit_is_given_back_at_once() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let storage = on(&disk, Some(0));
    let upload = new_upload();
    put_block(&storage, &upload, "a", b"1").await;
    let before = free(&disk);
    // Another program takes the space while the block is received.
    let hog = disk.path().join("hog");
    let (first, rest) = (pattern(2 * MIB, 1), pattern(4 * MIB, 2));
    let hogging = hog.clone();
    let chunks = whole(&first).chunks.chain(whole(&rest).chunks.enumerate().map(move |(number, chunk)| {
        if number == 0 {
            let mut size = 6 * MIB;
            while size > 0 && fs::write(&hogging, vec![0; size]).is_err() {
                size -= MIB / 4;
            }
        }
        chunk
    }));
    let source = Source::new(Some(6 << 20), chunks.boxed());
    let put = storage.put_block(&upload, &id("b"), source).await;
    assert!(matches!(put, Err(StorageError::NoSpace)), "{put:?}");
    fs::remove_file(hog).unwrap();
    for _ in 0..500 {
        if free(&disk) >= before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(free(&disk) + 65536 >= before, "{} of {before}", free(&disk));
    put_block(&storage, &upload, "b", b"2").await;
    let list = ids(["a", "b"]);
    let stored = storage.commit(&upload, &list).await.unwrap();
    assert_content(&storage, &stored.object, b"12").await;
}

/// A client that announces the whole disk and sends nothing does not exclude others.
#[tokio::test]
async fn silent_bodies_do_not_fill_the_disk() {
    let fixture = Temporary::new();
    let uploads: Vec<UploadName> = (0..20).map(|_| new_upload()).collect();
    let block = id("a");
    let mut silent: Vec<_> = uploads
        .iter()
        .map(|upload| fixture.storage().put_block(upload, &block, stuck(Some(1 << 30), b"1")))
        .collect();
    let all = future::join_all(silent.iter_mut());
    let upload = new_upload();
    let put = fixture.storage().put(&upload, whole(&pattern(MIB, 1)));
    let stored = bounded(future::select(Box::pin(all), put)).await;
    let future::Either::Right((stored, _)) = stored else { panic!("a silent body ended") };
    assert_eq!(stored.unwrap().size_bytes, MIB as u64);
}
