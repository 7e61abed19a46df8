//! The files of the driver.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, future, stream};
use larder_common::causes::chain;
use tokio::sync::oneshot;

use super::{BOOT, Temporary};
use crate::{
    Source, Storage, StorageError,
    conformance::{
        Fixture, assert_content, bounded, failing_sources, id, ids, new_upload, pattern, put_block,
        scattered_object, whole,
    },
    fs::{FsSettings, FsStorage, budget::Budget},
};

#[tokio::test]
async fn blocks_in_the_order_of_the_list_become_a_plain_file() {
    let fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "b", b"1").await;
    put_block(fixture.storage(), &upload, "a", b"23").await;
    let stored = fixture.storage().commit(&upload, &ids(["b", "a"])).await.unwrap();
    assert!(stored.object.as_str().starts_with("p-"));
    assert_eq!(fs::read(fixture.object_path(&stored.object)).unwrap(), b"123");
}

#[tokio::test]
async fn a_block_that_broke_off_last_does_not_make_the_object_segmented() {
    for source in failing_sources() {
        let fixture = Temporary::new();
        let upload = new_upload();
        put_block(fixture.storage(), &upload, "a", b"1").await;
        fixture.storage().put_block(&upload, &id("b"), source).await.unwrap_err();
        put_block(fixture.storage(), &upload, "b", b"23").await;
        let stored = fixture.storage().commit(&upload, &ids(["a", "b"])).await.unwrap();
        assert_eq!(fs::read(fixture.object_path(&stored.object)).unwrap(), b"123");
    }
}

#[tokio::test]
async fn no_text_of_a_client_becomes_part_of_a_path() {
    let fixture = Temporary::new();
    let upload = new_upload();
    for block in ["../evil", "/evil", "evil", "a\0evil"] {
        put_block(fixture.storage(), &upload, block, b"evil").await;
    }
    assert_eq!(
        fixture.files("uploads"),
        [format!("uploads/{upload}.data"), format!("uploads/{upload}.journal")]
    );
    fixture.storage().commit(&upload, &ids(["evil", "../evil"])).await.unwrap();
    assert!(fixture.files(".").iter().all(|path| !path.contains("evil")));
}

#[tokio::test]
async fn files_belong_to_the_owner_alone() {
    let above = tempfile::tempdir().unwrap();
    let root = above.path().join("made").join("by us");
    let settings = FsSettings::default();
    let opened = FsStorage::open_in_boot(root.clone(), Budget::new(1 << 20), BOOT.to_owned(), &settings);
    let storage = opened.unwrap();
    put_block(&storage, &new_upload(), "a", b"1").await;
    storage.put(&new_upload(), whole(b"1")).await.unwrap();
    let mut paths = vec![root];
    while let Some(path) = paths.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[tokio::test]
async fn failed_and_abandoned_puts_leave_no_file() {
    let fixture = Temporary::new();
    for source in failing_sources() {
        fixture.storage().put(&new_upload(), source).await.unwrap_err();
        assert!(fixture.files("objects").is_empty());
    }
}

#[tokio::test]
async fn broken_blocks_of_unknown_length_leave_no_file() {
    let fixture = Temporary::new();
    let source = crate::conformance::broken(None, &pattern(3_000_000, 1));
    fixture.storage().put_block(&new_upload(), &id("a"), source).await.unwrap_err();
    assert!(fixture.files("uploads").is_empty());
}

#[tokio::test]
async fn foreign_files_are_not_listed_and_not_deleted() {
    let mut fixture = Temporary::new();
    let root = fixture.root.path().to_owned();
    let hex = "00112233445566778899aabbccddeeff";
    let foreign = [
        "objects/README".to_owned(),
        "objects/00/lost+found".to_owned(),
        format!("objects/00/{hex}"),
        format!("objects/00/x-{hex}"),
        format!("objects/01/p-{hex}"),
        format!("objects/00/p-{hex}.tmp"),
        format!("uploads/{hex}"),
        format!("uploads/{hex}.bak"),
        "uploads/x.data".to_owned(),
    ];
    for file in &foreign {
        fs::write(root.join(file), b"mine").unwrap();
    }
    fixture.restart().await;
    assert!(fixture.storage().list_objects(None).await.unwrap().items.is_empty());
    assert!(fixture.storage().list_uploads(None).await.unwrap().items.is_empty());
    assert!(foreign.iter().all(|file| root.join(file).exists()));
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let fixture = Temporary::new();
    let (root, settings) = (fixture.root.path().to_owned(), FsSettings::default());
    let second = FsStorage::open_in_boot(root.clone(), Budget::new(1), BOOT.to_owned(), &settings);
    assert!(matches!(second, Err(StorageError::Unavailable { .. })), "{second:?}");
    let detail = chain(&second.unwrap_err());
    assert!(detail.contains(root.to_str().unwrap()), "{detail}");
}

/// Fault 28: errors contain the path.
#[tokio::test]
async fn errors_name_the_path_that_failed() {
    let above = tempfile::tempdir().unwrap();
    let root = above.path().join("storage");
    fs::write(&root, b"in the way").unwrap();
    let error = FsStorage::open(root.clone(), Budget::new(1)).unwrap_err();
    assert!(chain(&error).contains(root.to_str().unwrap()), "{error:?}");

    let fixture = Temporary::new();
    let object = fixture.storage().put(&new_upload(), whole(b"1")).await.unwrap().object;
    let file = fixture.object_path(&object);
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let error = fixture.storage().open(&object, 1, None).await.err().unwrap();
    assert!(chain(&error).contains(file.to_str().unwrap()), "{error:?}");
}

#[tokio::test]
async fn committed_objects_are_as_new_as_their_commit() {
    let fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"1").await;
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let data = fixture.root.path().join(format!("uploads/{upload}.data"));
    fs::File::options().write(true).open(data).unwrap().set_modified(long_ago).unwrap();
    fixture.storage().commit(&upload, &ids(["a"])).await.unwrap();
    let listed = fixture.storage().list_objects(None).await.unwrap();
    let long_ago_ms = long_ago.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::from(listed.items[0].modified_ms) > long_ago_ms + 3_600_000);
}

#[tokio::test]
async fn content_that_is_cut_off_while_it_is_read_ends_with_an_error() {
    let fixture = Temporary::new();
    let bytes = pattern(3_000_000, 1);
    let plain = fixture.storage().put(&new_upload(), whole(&bytes)).await.unwrap().object;
    let scattered = scattered_object(fixture.storage(), &[&bytes[..1_000_000], &bytes[1_000_000..]]).await;
    for object in [plain, scattered] {
        let mut content = fixture.storage().open(&object, 3_000_000, None).await.unwrap();
        content.chunks.next().await.unwrap().unwrap();
        let file = fs::File::options().write(true).open(fixture.object_path(&object)).unwrap();
        file.set_len(300_000).unwrap();
        let rest: Vec<_> = content.chunks.collect().await;
        let (last, before) = rest.split_last().unwrap();
        assert!(matches!(last, Err(StorageError::Unavailable { .. })));
        assert!(before.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn forgotten_uploads_are_read_back() {
    let mut fixture = Temporary::new();
    fixture.set_max_uploads(4);
    let uploads: Vec<_> = (0..40).map(|_| new_upload()).collect();
    for block in ["a", "b", "a"] {
        for upload in &uploads {
            put_block(fixture.storage(), upload, block, upload.as_str().as_bytes()).await;
        }
    }
    assert!(fixture.fs().uploads.count() <= 5);
    for upload in &uploads {
        let stored = fixture.storage().commit(upload, &ids(["a", "b"])).await.unwrap();
        assert_content(fixture.storage(), &stored.object, upload.as_str().repeat(2).as_bytes()).await;
    }
}

#[tokio::test]
async fn an_upload_under_way_is_never_forgotten() {
    let mut fixture = Temporary::new();
    fixture.set_max_uploads(1);
    let upload = new_upload();
    let (slow, quick) = (pattern(500_000, 1), pattern(400_000, 2));
    // It has its extent, and writes nothing before it may continue.
    let (has_place, placed) = oneshot::channel::<()>();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let pause = stream::once(async move {
        has_place.send(()).unwrap();
        may_go_on.await.unwrap();
    });
    let chunks = pause.flat_map(|()| stream::empty()).chain(whole(&slow).chunks).boxed();
    let slow_id = id("slow");
    let under_way = fixture.storage().put_block(&upload, &slow_id, Source::new(Some(500_000), chunks));
    let meanwhile = async {
        placed.await.unwrap();
        for _ in 0..5 {
            put_block(fixture.storage(), &new_upload(), "x", b"x").await;
        }
        put_block(fixture.storage(), &upload, "quick", &quick).await;
        go_on.send(()).unwrap();
    };
    bounded(future::join(under_way, meanwhile)).await.0.unwrap();
    let stored = fixture.storage().commit(&upload, &ids(["quick", "slow"])).await.unwrap();
    assert_content(fixture.storage(), &stored.object, &[quick, slow].concat()).await;
}

#[tokio::test]
async fn a_directory_that_is_gone_is_an_error_and_not_a_miss() {
    let fixture = Temporary::new();
    let objects = fixture.root.path().join("objects");
    for shard in fs::read_dir(&objects).unwrap() {
        let shard = shard.unwrap().path();
        fs::remove_dir(&shard).unwrap();
        fs::write(&shard, b"in the way").unwrap();
    }
    let put = fixture.storage().put(&new_upload(), whole(b"1")).await;
    assert!(matches!(put, Err(StorageError::Unavailable { .. })), "{put:?}");
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"1").await;
    let commit = fixture.storage().commit(&upload, &ids(["a"])).await;
    assert!(matches!(commit, Err(StorageError::Unavailable { .. })), "{commit:?}");
    for shard in fs::read_dir(&objects).unwrap() {
        let shard = shard.unwrap().path();
        fs::remove_file(&shard).unwrap();
        fs::create_dir(&shard).unwrap();
    }
    let stored = fixture.storage().commit(&upload, &ids(["a"])).await.unwrap();
    assert_content(fixture.storage(), &stored.object, b"1").await;
}
