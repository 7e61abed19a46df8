//! What is erased, and the sizes of listings and of the disk.

use std::fs;

use super::Temporary;
use crate::conformance::{Fixture, announced, id, new_upload, pattern, put_block, whole};

/// What earlier releases made has another form of names, and what a process left that was killed is
/// nobody's.
#[tokio::test]
async fn only_ones_own_files_are_erased() {
    let fixture = Temporary::new();
    let (upload, root) = (new_upload(), fixture.root.path());
    let made = fixture.storage().put(&upload, whole(b"1")).await.unwrap();
    let shard = root.join("objects").join(&upload.as_str()[..2]);
    let old = shard.join(format!("p-{upload}"));
    let foreign = shard.join(format!("p-{upload}-0.bak"));
    let spool = root.join(format!("uploads/{upload}.spool-{upload}"));
    fs::create_dir_all(root.join("uploads")).unwrap();
    for file in [&old, &foreign, &spool] {
        fs::write(file, b"x").unwrap();
    }
    fixture.storage().erase(&upload, None).await.unwrap();
    assert!(old.exists() && foreign.exists() && !spool.exists());
    assert!(fixture.storage().stat(&made.object).await.is_err());
}

/// A file with holes takes less space than its length.
#[tokio::test]
async fn uploads_are_listed_with_the_space_that_they_take() {
    let fixture = Temporary::new();
    let (storage, upload) = (fixture.storage(), new_upload());
    let bytes = pattern(1 << 20, 1);
    put_block(storage, &upload, "1", &bytes).await;
    // Breaks off, and the block behind it is further on in the file.
    let broken = announced(64 << 20, &bytes[..10]);
    let ids = [id("broken"), id("2")];
    let (first, second) = tokio::join!(
        storage.put_block(&upload, &ids[0], broken),
        storage.put_block(&upload, &ids[1], whole(&bytes)),
    );
    assert!(first.is_err() && second.is_ok());
    let listed = storage.list_uploads(None).await.unwrap().items;
    let [listed] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(listed.name, upload);
    assert!((2 << 20..4 << 20).contains(&listed.size_bytes), "{listed:?}");
}

#[tokio::test]
async fn the_disk_is_measured() {
    let fixture = Temporary::new();
    let disk = fixture.storage().disk_usage().await.unwrap().unwrap();
    assert!(disk.free_bytes > 0 && disk.free_bytes <= disk.total_bytes, "{disk:?}");
}
