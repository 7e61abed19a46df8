#![allow(clippy::unwrap_used)]

use std::fs;

use larder_common::causes::chain;

use super::*;
use crate::{
    Storage as _,
    conformance::{new_upload, whole},
    fs::tests::Temporary,
};

fn fails(errno: Errno) -> io::Result<()> {
    Err(errno.into())
}

/// `count` objects, each in its own directory.
async fn objects(fixture: &Temporary, count: usize) -> Vec<ObjectName> {
    let mut objects: Vec<ObjectName> = Vec::new();
    while objects.len() < count {
        let object = fixture.fs().put(&new_upload(), whole(b"1")).await.unwrap().object;
        let shard = |object: &ObjectName| object.as_str()[2..4].to_owned();
        if objects.iter().all(|other| shard(other) != shard(&object)) {
            objects.push(object);
        }
    }
    objects
}

/// Fault 6.
#[tokio::test]
async fn only_what_an_fsync_says_of_lost_writes_gives_an_object_up() {
    let fixture = Temporary::new();
    let objects = objects(&fixture, 1).await;
    let dirs = &fixture.fs().disk.dirs;
    let lost: [Sync; 3] = [|_| fails(Errno::IO), |_| fails(Errno::NOSPC), |_| fails(Errno::DQUOT)];
    for sync in lost {
        for outcome in [
            flush_with(dirs, &objects, sync, File::sync_all),
            flush_with(dirs, &objects, File::sync_data, sync),
        ] {
            assert!(matches!(outcome[..], [Err(FlushError::Lost(_))]), "{outcome:?}");
        }
    }
    let transient: [Sync; 3] = [|_| fails(Errno::NOMEM), |_| fails(Errno::ACCESS), |_| fails(Errno::INVAL)];
    for sync in transient {
        let outcome = flush_with(dirs, &objects, sync, File::sync_all);
        assert!(matches!(outcome[..], [Err(FlushError::Retry(_))]), "{outcome:?}");
    }
}

/// Fault 6: a file that cannot be opened proves nothing about its bytes, nor about other objects.
#[tokio::test]
async fn an_object_that_cannot_be_opened_is_tried_again_and_the_others_are_flushed() {
    let fixture = Temporary::new();
    let objects = objects(&fixture, 3).await;
    let file = fixture.object_path(&objects[1]);
    let away = file.with_extension("away");
    fs::rename(&file, &away).unwrap();
    // ELOOP: any user gets it, root included.
    std::os::unix::fs::symlink(&away, &file).unwrap();
    let outcomes = fixture.fs().flush(&objects).await;
    let [Ok(()), Err(FlushError::Retry(error)), Ok(())] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(chain(error).contains(objects[1].as_str()), "{error:?}");
    fs::rename(&away, &file).unwrap();
    assert!(fixture.fs().flush(&objects).await.iter().all(Result::is_ok));
}

/// Fault 6: a directory that cannot be flushed affects the objects in it.
#[tokio::test]
async fn a_directory_whose_flush_fails_concerns_its_own_objects_only() {
    let fixture = Temporary::new();
    let objects = objects(&fixture, 2).await;
    let shard = fixture.object_path(&objects[0]).parent().unwrap().to_owned();
    let kept = shard.with_extension("kept");
    fs::rename(&shard, &kept).unwrap();
    fs::write(&shard, b"in the way").unwrap();
    let outcomes = fixture.fs().flush(&objects).await;
    assert!(matches!(outcomes[..], [Err(FlushError::Retry(_)), Ok(())]), "{outcomes:?}");
}
