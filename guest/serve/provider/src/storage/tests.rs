#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    path::Path,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Error, Outcome, Segment, Storage, segments};
use crate::directory::{
    Content, Directory, Renamed, Result, Stat,
    native::{NativeDirectory, run},
};

const UPLOAD: &str = "0123456789abcdef0123456789abcdef";

/// A directory that can be shared by the parts of a storage.
type Shared = Rc<NativeDirectory>;

impl Directory for Shared {
    async fn read(&self, path: &str) -> Result<Option<Content>> {
        (**self).read(path).await
    }
    async fn stat(&self, path: &str) -> Result<Option<Stat>> {
        (**self).stat(path).await
    }
    async fn list(&self, path: &str) -> Result<Vec<String>> {
        (**self).list(path).await
    }
    async fn create(&self, path: &str, bytes: &[u8]) -> Result<Option<bool>> {
        (**self).create(path, bytes).await
    }
    async fn link(&self, from: &str, to: &str) -> Result<Option<bool>> {
        (**self).link(from, to).await
    }
    async fn rename(&self, from: &str, to: &str) -> Result<Renamed> {
        (**self).rename(from, to).await
    }
    async fn unlink(&self, path: &str) -> Result<bool> {
        (**self).unlink(path).await
    }
    async fn make_folder(&self, path: &str) -> Result<()> {
        (**self).make_folder(path).await
    }
    async fn remove_folder(&self, path: &str) -> Result<()> {
        (**self).remove_folder(path).await
    }
    async fn set_modified(&self, path: &str, ms: u64) -> Result<bool> {
        (**self).set_modified(path, ms).await
    }
    async fn sync(&self, path: &str) -> Result<()> {
        (**self).sync(path).await
    }
}

fn clock_us() -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(1_800_000_000_000_000);
    CLOCK.fetch_add(1, Relaxed)
}

fn random() -> u64 {
    fastrand::u64(..)
}

fn storage_with(directory: NativeDirectory, max_bytes: Option<u64>) -> Storage<Shared> {
    Storage::new(Rc::new(directory), max_bytes, clock_us, random)
}

fn storage(root: &Path) -> Storage<Shared> {
    storage_with(NativeDirectory::new(root), None)
}

/// Stages a block, whose body was written already.
fn put_block(storage: &Storage<Shared>, id: &str, bytes: &[u8]) -> Outcome<u64> {
    run(async {
        let body = storage.begin_body(UPLOAD, bytes.len() as u64).await?;
        storage.directory.create(&body.path, bytes).await?;
        let kept = storage.keep_block(&body, id, bytes.len() as u64).await;
        if kept.is_err() {
            storage.drop_body(&body).await;
        }
        kept
    })
}

fn commit(storage: &Storage<Shared>, ids: &[&str]) -> Outcome<(String, u64)> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    run(storage.commit(UPLOAD, &ids)).map(|stored| (stored.object, stored.size_bytes))
}

/// The content of an object, or of a range of it.
fn content(storage: &Storage<Shared>, object: &str, size: u64, start: u64, end: u64) -> Outcome<Vec<u8>> {
    let mut all = Vec::new();
    for Segment { path, start, end, file_bytes } in run(storage.locate(object, size, start, end))? {
        let file = run(storage.directory.read(&path))?.ok_or(Error::NotFound)?;
        assert_eq!(file.bytes.len() as u64, file_bytes);
        all.extend_from_slice(&file.bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
    }
    Ok(all)
}

fn staged(storage: &Storage<Shared>) -> Vec<(String, u64)> {
    let mut blocks: Vec<_> =
        run(storage.blocks(UPLOAD)).unwrap().into_iter().map(|block| (block.id, block.size_bytes)).collect();
    blocks.sort();
    blocks
}

#[test]
fn the_order_comes_from_the_list_and_the_last_block_of_an_id_counts() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    let long = "x".repeat(256);
    for (id, bytes) in [("b", "old"), (&long, "LONG"), ("a", "aa"), ("b", "bbb"), ("unlisted", "no")] {
        put_block(&storage, id, bytes.as_bytes()).unwrap();
    }
    let all = [("a".to_owned(), 2), ("b".to_owned(), 3), ("unlisted".to_owned(), 2), (long.clone(), 4)];
    assert_eq!(staged(&storage), all);
    assert!(matches!(commit(&storage, &["a", "c"]), Err(Error::Invalid(_))));
    let list = ["b", "a", &long, "a"];
    let (object, size) = commit(&storage, &list).unwrap();
    assert_eq!(content(&storage, &object, size, 0, size).unwrap(), b"bbbaaLONGaa");
    assert_eq!(content(&storage, &object, size, 2, 6).unwrap(), b"baaL");
    assert_eq!(run(storage.stat(&object)).unwrap(), size);
    assert!(matches!(content(&storage, &object, size + 1, 0, 1), Err(Error::NotFound)));
    assert_eq!(commit(&storage, &list).unwrap(), (object.clone(), size), "a repeat");
    assert!(matches!(commit(&storage, &["a"]), Err(Error::Invalid(_))), "another list");
    assert!(matches!(put_block(&storage, "z", b"z"), Err(Error::Invalid(_))), "no more blocks");
    assert_eq!(staged(&storage), all, "a commit changes nothing");
    run(storage.discard(UPLOAD)).unwrap();
    assert_eq!(staged(&storage), []);
    assert_eq!(content(&storage, &object, size, 0, 3).unwrap(), b"bbb", "the object stays");
    run(storage.remove(&object)).unwrap();
    assert!(matches!(run(storage.stat(&object)), Err(Error::NotFound)));
    assert_eq!(std::fs::read_dir(root.path().join("blocks/01")).unwrap().count(), 0, "nothing is left");
}

#[test]
fn an_upload_that_was_discarded_is_gone_and_an_empty_list_is_an_object() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    put_block(&storage, "a", b"1").unwrap();
    run(storage.discard(UPLOAD)).unwrap();
    assert!(matches!(commit(&storage, &["a"]), Err(Error::Invalid(_))));
    let (object, size) = commit(&storage, &[]).unwrap();
    assert_eq!((size, run(storage.stat(&object)).unwrap()), (0, 0));
    assert_eq!(content(&storage, &object, 0, 0, 0).unwrap(), b"");
}

#[test]
fn an_object_that_lacks_a_block_is_not_found() {
    for (blocks, cut) in [(3_usize, true), (3, false), (20, false)] {
        let root = tempfile::tempdir().unwrap();
        let storage = storage(root.path());
        let ids: Vec<String> = (0..blocks).map(|number| number.to_string()).collect();
        for id in &ids {
            put_block(&storage, id, b"bytes").unwrap();
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (object, size) = commit(&storage, &ids).unwrap();
        assert_eq!(run(storage.stat(&object)).unwrap(), size);
        let folder = root.path().join(super::blocks_folder(UPLOAD));
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let block = names.into_iter().find(|path| path.to_string_lossy().contains("/b.")).unwrap();
        if cut {
            std::fs::write(block, b"byt").unwrap();
        } else {
            std::fs::remove_file(block).unwrap();
        }
        assert!(matches!(run(storage.stat(&object)), Err(Error::NotFound)));
    }
}

/// A commit that is killed at each of its calls can be repeated, and has the listed bytes.
#[test]
fn a_killed_commit_can_be_repeated() {
    for changes in 0..50 {
        let root = tempfile::tempdir().unwrap();
        for (id, bytes) in [("a", "11"), ("b", "22"), ("c", "33")] {
            put_block(&storage(root.path()), id, bytes.as_bytes()).unwrap();
        }
        let dying = storage_with(NativeDirectory::crashing_after(root.path(), changes), None);
        let is_done = commit(&dying, &["c", "a"]).is_ok();
        let alive = storage(root.path());
        let (object, size) = commit(&alive, &["c", "a"]).unwrap();
        assert_eq!(content(&alive, &object, size, 0, size).unwrap(), b"3311");
        if is_done {
            assert!(changes >= 4, "{changes}");
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn the_sum_of_bytes_is_kept_and_counted_again() {
    let root = tempfile::tempdir().unwrap();
    let capped = |max| storage_with(NativeDirectory::new(root.path()), Some(max));
    put_block(&storage(root.path()), "before", &[0; 40]).unwrap();
    let storage = capped(100);
    run(storage.capacity().prepare()).unwrap();
    put_block(&storage, "a", &[0; 60]).unwrap();
    assert!(matches!(put_block(&storage, "b", b"1"), Err(Error::NoSpace)));
    assert!(!run(storage.capacity().has_room()).unwrap());
    let (object, _) = commit(&storage, &["a"]).unwrap();
    // What was not listed is deleted.
    assert!(run(storage.capacity().has_room()).unwrap());
    run(storage.capacity().take(40)).unwrap();
    assert!(run(storage.capacity().take(1)).is_err());
    // A kill has lost count; a sweep's end finds it.
    run(storage.capacity().recount()).unwrap();
    run(storage.capacity().take(40)).unwrap();
    run(storage.capacity().give_back(40));
    run(storage.remove(&object)).unwrap();
    run(capped(100).capacity().take(100)).unwrap();
}

#[test]
fn segments_cover_a_range_exactly() {
    let files = || (0..10_u64).map(|number| (format!("f{number}"), number));
    let all: Vec<u64> = (0..10).flat_map(|number| std::iter::repeat_n(number, number as usize)).collect();
    for start in 0..=all.len() {
        for end in start..=all.len() {
            let picked = segments(files(), start as u64, end as u64);
            let bytes: Vec<u64> = picked
                .iter()
                .flat_map(|s| std::iter::repeat_n(s.file_bytes, (s.end - s.start) as usize))
                .collect();
            assert_eq!(bytes, all[start..end]);
        }
    }
}
