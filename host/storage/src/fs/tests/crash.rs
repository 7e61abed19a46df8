//! Crashes of the process or the machine at every step.

use std::{fs, path::PathBuf};

use super::{BOOT, Temporary};
use crate::{
    BlockId, UploadName,
    conformance::{
        Fixture, assert_content, assert_invalid, assert_not_found, id, ids, new_upload, pattern, put_block,
        scattered_object, whole,
    },
};

const NEXT_BOOT: &str = "00000000-0000-0000-0000-000000000002";

fn upload_file(fixture: &Temporary, upload: &UploadName, kind: &str) -> PathBuf {
    fixture.root.path().join("uploads").join(format!("{upload}.{kind}"))
}

#[tokio::test]
async fn staged_blocks_survive_a_restart_of_the_process() {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "b", b"22").await;
    fixture.restart().await;
    put_block(fixture.storage(), &upload, "a", b"1").await;
    fixture.restart().await;
    let stored = fixture.storage().commit(&upload, &ids(["a", "b"])).await.unwrap();
    assert_content(fixture.storage(), &stored.object, b"122").await;
}

#[tokio::test]
async fn staged_blocks_do_not_survive_a_restart_of_the_machine() {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"maybe lost").await;
    fixture.restart_in(NEXT_BOOT);
    assert_invalid(fixture.storage().commit(&upload, &ids(["a"])).await);
    put_block(fixture.storage(), &upload, "b", b"new").await;
    let stored = fixture.storage().commit(&upload, &ids(["b"])).await.unwrap();
    assert_content(fixture.storage(), &stored.object, b"new").await;
}

#[tokio::test]
async fn a_commit_is_not_repeated_after_a_restart_of_the_machine() {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"maybe lost").await;
    fixture.storage().commit(&upload, &ids(["a"])).await.unwrap();
    fixture.restart_in(NEXT_BOOT);
    assert_invalid(fixture.storage().commit(&upload, &ids(["a"])).await);
}

#[tokio::test]
async fn a_journal_that_ends_anywhere_gives_the_blocks_before() {
    let upload = new_upload();
    let mut whole_journal = Temporary::new();
    let mut ends = Vec::new();
    let path = upload_file(&whole_journal, &upload, "journal");
    for block in ["a", "b", "c"] {
        put_block(whole_journal.storage(), &upload, block, block.as_bytes()).await;
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    whole_journal.storage = None;
    let journal = fs::read(&path).unwrap();
    let data = fs::read(upload_file(&whole_journal, &upload, "data")).unwrap();
    let fixture = Temporary::new();
    for length in 0..=journal.len() {
        for tail in [&b""[..], b"\0\0\0\0\0\0\0\0\0\0", b"garbage that was left behind"] {
            let upload = new_upload();
            fs::write(upload_file(&fixture, &upload, "journal"), [&journal[..length], tail].concat())
                .unwrap();
            fs::write(upload_file(&fixture, &upload, "data"), &data).unwrap();
            let expected = ends.iter().filter(|end| **end <= length).count();
            assert_staged(&fixture, &upload, expected).await;
        }
    }
}

/// Checks that exactly the first `count` of `a`, `b`, `c` are staged, and that more can be.
async fn assert_staged(fixture: &Temporary, upload: &UploadName, count: usize) {
    let list = ids(["a", "b", "c"]);
    let (staged, lost) = list.split_at(count);
    for block in lost {
        assert_invalid(fixture.storage().commit(upload, std::slice::from_ref(block)).await);
    }
    put_block(fixture.storage(), upload, "more", b"!").await;
    let list: Vec<BlockId> = staged.iter().cloned().chain([id("more")]).collect();
    let stored = fixture.storage().commit(upload, &list).await.unwrap();
    let expected = format!("{}!", &"abc"[..count]);
    assert_content(fixture.storage(), &stored.object, expected.as_bytes()).await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_journal_is_never_another_block() {
    let upload = new_upload();
    let mut original = Temporary::new();
    // So long that an offset or a length with a flipped bit is still within the file.
    let blocks = [("a", pattern(5000, 1)), ("b", pattern(5000, 2))];
    for (block, bytes) in &blocks {
        put_block(original.storage(), &upload, block, bytes).await;
    }
    original.storage = None;
    let journal = fs::read(upload_file(&original, &upload, "journal")).unwrap();
    let data = fs::read(upload_file(&original, &upload, "data")).unwrap();
    let fixture = Temporary::new();
    for at in 0..journal.len() {
        let mut damaged = journal.clone();
        damaged[at] ^= 0x10;
        for (block, bytes) in &blocks {
            let upload = new_upload();
            fs::write(upload_file(&fixture, &upload, "journal"), &damaged).unwrap();
            fs::write(upload_file(&fixture, &upload, "data"), &data).unwrap();
            if let Ok(stored) = fixture.storage().commit(&upload, &ids([block])).await {
                assert_content(fixture.storage(), &stored.object, bytes).await;
            }
        }
    }
}

#[tokio::test]
async fn a_commit_that_ended_before_the_rename_is_finished() {
    for list in [["a", "b"], ["b", "a"]] {
        let mut fixture = Temporary::new();
        let upload = new_upload();
        put_block(fixture.storage(), &upload, "a", b"a").await;
        put_block(fixture.storage(), &upload, "b", b"b").await;
        let stored = fixture.storage().commit(&upload, &ids(list)).await.unwrap();
        // As if the process had ended just before.
        fs::rename(fixture.object_path(&stored.object), upload_file(&fixture, &upload, "data")).unwrap();
        fixture.restart().await;
        assert_not_found(fixture.storage().stat(&stored.object).await);
        assert_invalid(fixture.storage().put_block(&upload, &id("c"), whole(b"c")).await);
        assert_eq!(fixture.storage().commit(&upload, &ids(list)).await.unwrap(), stored);
        assert_content(fixture.storage(), &stored.object, list.concat().as_bytes()).await;
    }
}

#[tokio::test]
async fn a_commit_that_ended_before_its_record_is_done_anew() {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"a").await;
    put_block(fixture.storage(), &upload, "b", b"b").await;
    let journal = fs::read(upload_file(&fixture, &upload, "journal")).unwrap();
    let stored = fixture.storage().commit(&upload, &ids(["b", "a"])).await.unwrap();
    // The trailer is written, but not the record.
    fs::rename(fixture.object_path(&stored.object), upload_file(&fixture, &upload, "data")).unwrap();
    fs::write(upload_file(&fixture, &upload, "journal"), journal).unwrap();
    fixture.restart().await;
    put_block(fixture.storage(), &upload, "c", b"c").await;
    let again = fixture.storage().commit(&upload, &ids(["c", "b", "a"])).await.unwrap();
    assert_ne!(again.object, stored.object);
    assert_content(fixture.storage(), &again.object, b"cba").await;
}

#[tokio::test]
async fn data_without_a_journal_is_listed_and_can_be_discarded() {
    let fixture = Temporary::new();
    let upload = new_upload();
    fs::write(upload_file(&fixture, &upload, "data"), b"left").unwrap();
    let listed = fixture.storage().list_uploads(None).await.unwrap();
    assert_eq!(listed.items[0].name, upload);
    assert_invalid(fixture.storage().commit(&upload, &ids(["a"])).await);
    fixture.storage().discard(&upload).await.unwrap();
    assert!(fixture.files("uploads").is_empty());
}

#[tokio::test]
async fn blocks_that_were_cut_off_are_not_served() {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"first").await;
    put_block(fixture.storage(), &upload, "b", b"second").await;
    fixture.storage = None;
    let data = fs::File::options().write(true).open(upload_file(&fixture, &upload, "data")).unwrap();
    data.set_len(8).unwrap();
    fixture.restart_in(BOOT);
    assert_invalid(fixture.storage().commit(&upload, &ids(["a", "b"])).await);
    let stored = fixture.storage().commit(&upload, &ids(["a"])).await.unwrap();
    assert_content(fixture.storage(), &stored.object, b"first").await;
}

#[tokio::test]
async fn a_segmented_object_with_a_damaged_trailer_is_not_found() {
    let fixture = Temporary::new();
    let bytes = pattern(100, 1);
    let object = scattered_object(fixture.storage(), &[&bytes[..40], &bytes[40..]]).await;
    let path = fixture.object_path(&object);
    let good = fs::read(&path).unwrap();
    let trailer = 2 * 16 + 28;
    for at in good.len() - trailer..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_not_found(fixture.storage().open(&object, 100, None).await);
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_not_found(fixture.storage().stat(&object).await);
        assert_not_found(fixture.storage().open(&object, 100, None).await);
    }
}
