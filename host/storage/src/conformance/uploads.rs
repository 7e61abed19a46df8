//! Promises on uploads: `put_block`, `commit`, `discard`.

use futures_util::{FutureExt, StreamExt, future, stream};
use tokio::sync::oneshot;

use super::{
    Fixture, assert_content, assert_invalid, broken, failing_sources, id, ids, new_upload, pattern,
    put_block, stuck, unannounced, whole,
};
use crate::{BlockId, MAX_BLOCKS, Source, Storage, StorageError, UploadName};

async fn assert_commits_to(storage: &dyn Storage, upload: &UploadName, list: &[BlockId], expected: &[u8]) {
    let stored = storage.commit(upload, list).await.unwrap();
    assert_eq!(stored.size_bytes, expected.len() as u64);
    assert_content(storage, &stored.object, expected).await;
}

pub(crate) async fn order_comes_only_from_the_list(fixture: impl Fixture) {
    let storage = fixture.storage();
    // The order of the ids, as text or as sent, is not that of the list.
    for list in [["3", "1", "2"], ["1", "2", "3"], ["2", "3", "1"], ["10", "9", "zz"]] {
        for sent in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let upload = new_upload();
            let bodies = [pattern(70_000, 1), pattern(3, 2), pattern(200_000, 3)];
            for number in sent {
                put_block(storage, &upload, list[number], &bodies[number]).await;
            }
            assert_commits_to(storage, &upload, &ids(list), &bodies.concat()).await;
        }
    }
}

pub(crate) async fn ids_may_stand_in_the_list_more_than_once(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    put_block(storage, &upload, "a", b"AA").await;
    put_block(storage, &upload, "b", b"b").await;
    assert_commits_to(storage, &upload, &ids(["a", "b", "a", "a", "b"]), b"AAbAAAAb").await;
}

pub(crate) async fn blocks_that_are_not_listed_do_not_count(fixture: impl Fixture) {
    let storage = fixture.storage();
    for listed in ["a", "b", "c"] {
        let upload = new_upload();
        for block in ["a", "b", "c"] {
            put_block(storage, &upload, block, block.as_bytes()).await;
        }
        assert_commits_to(storage, &upload, &ids([listed]), listed.as_bytes()).await;
    }
}

pub(crate) async fn unknown_ids_are_invalid_and_change_nothing(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    assert_invalid(storage.commit(&upload, &ids(["a"])).await);
    put_block(storage, &upload, "a", b"1").await;
    for unknown in ["b", "A", "a ", "a\0"] {
        assert_invalid(storage.commit(&upload, &ids(["a", unknown])).await);
    }
    put_block(storage, &upload, "b", b"2").await;
    assert_commits_to(storage, &upload, &ids(["a", "b"]), b"12").await;
}

pub(crate) async fn blocks_tells_what_is_complete_until_the_discard(fixture: impl Fixture) {
    let mut fixture = fixture;
    let upload = new_upload();
    assert_eq!(staged_blocks(fixture.storage(), &upload).await, []);
    put_block(fixture.storage(), &upload, "b", b"12345").await;
    put_block(fixture.storage(), &upload, "a", b"").await;
    put_block(fixture.storage(), &upload, "b", b"123").await;
    let _ = fixture.storage().put_block(&upload, &id("broken"), broken(Some(9), b"12")).await;
    let expected = [("a".to_owned(), 0), ("b".to_owned(), 3)];
    assert_eq!(staged_blocks(fixture.storage(), &upload).await, expected);
    fixture.storage().commit(&upload, &ids(["a", "b"])).await.unwrap();
    fixture.restart().await;
    assert_eq!(staged_blocks(fixture.storage(), &upload).await, expected, "a commit can be repeated");
    fixture.storage().discard(&upload).await.unwrap();
    assert_eq!(staged_blocks(fixture.storage(), &upload).await, []);
}

async fn staged_blocks(storage: &dyn Storage, upload: &UploadName) -> Vec<(String, u64)> {
    let blocks = storage.blocks(upload).await.unwrap();
    let mut staged_blocks: Vec<_> =
        blocks.into_iter().map(|block| (block.id.to_string(), block.size_bytes)).collect();
    staged_blocks.sort();
    staged_blocks
}

pub(crate) async fn too_many_ids_are_invalid(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    put_block(storage, &upload, "a", b"x").await;
    assert_invalid(storage.commit(&upload, &vec![id("a"); MAX_BLOCKS + 1]).await);
    assert_commits_to(storage, &upload, &vec![id("a"); MAX_BLOCKS], &vec![b'x'; MAX_BLOCKS]).await;
}

pub(crate) async fn resent_blocks_replace(fixture: impl Fixture) {
    let storage = fixture.storage();
    for (old, new) in [("same", "size"), ("longer", "a"), ("b", "longer"), ("x", "")] {
        let upload = new_upload();
        put_block(storage, &upload, "first", b"<").await;
        put_block(storage, &upload, "again", old.as_bytes()).await;
        put_block(storage, &upload, "last", b">").await;
        put_block(storage, &upload, "again", new.as_bytes()).await;
        let expected = format!("<{new}>");
        assert_commits_to(storage, &upload, &ids(["first", "again", "last"]), expected.as_bytes()).await;
    }
}

pub(crate) async fn broken_bodies_do_not_count(fixture: impl Fixture) {
    let storage = fixture.storage();
    for source in failing_sources() {
        let upload = new_upload();
        put_block(storage, &upload, "before", b"1").await;
        assert_invalid(storage.put_block(&upload, &id("broken"), source).await);
        put_block(storage, &upload, "after", b"2").await;
        assert_invalid(storage.commit(&upload, &ids(["before", "broken", "after"])).await);
        assert_commits_to(storage, &upload, &ids(["before", "after"]), b"12").await;
    }
}

pub(crate) async fn bodies_over_their_limit_are_too_large_and_do_not_count(fixture: impl Fixture) {
    let storage = fixture.storage();
    let (upload, bytes) = (new_upload(), pattern(100_000, 5));
    let too_long = || unannounced(&bytes).within(Some(99_999));
    put_block(storage, &upload, "before", b"1").await;
    let staged = storage.put_block(&upload, &id("long"), too_long()).await;
    assert!(matches!(staged, Err(StorageError::TooLarge)), "{staged:?}");
    let stored = storage.put(&new_upload(), too_long()).await;
    assert!(matches!(stored, Err(StorageError::TooLarge)), "{stored:?}");
    assert!(storage.list_objects(None).await.unwrap().items.is_empty());
    assert_invalid(storage.commit(&upload, &ids(["before", "long"])).await);
    assert_commits_to(storage, &upload, &ids(["before"]), b"1").await;
}

pub(crate) async fn broken_bodies_do_not_replace(fixture: impl Fixture) {
    let storage = fixture.storage();
    for source in failing_sources() {
        let upload = new_upload();
        let good = pattern(100_000, 1);
        put_block(storage, &upload, "a", &good).await;
        assert_invalid(storage.put_block(&upload, &id("a"), source).await);
        assert_commits_to(storage, &upload, &ids(["a"]), &good).await;
    }
}

pub(crate) async fn abandoned_bodies_do_not_count(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    put_block(storage, &upload, "a", b"good").await;
    let bytes = pattern(2_000_000, 3);
    for length in [Some(3_000_000), None] {
        // It receives what there is, waits for more, and is dropped.
        let a = id("a");
        let mut under_way = storage.put_block(&upload, &a, stuck(length, &bytes));
        for _ in 0..100 {
            assert!((&mut under_way).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(under_way);
    }
    put_block(storage, &upload, "b", b" and more").await;
    assert_commits_to(storage, &upload, &ids(["a", "b"]), b"good and more").await;
}

pub(crate) async fn blocks_of_unknown_length_are_staged(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bodies = [pattern(0, 1), pattern(10, 2), pattern(3_000_000, 3)];
    for (name, body) in ["a", "b", "c"].into_iter().zip(&bodies) {
        let length = storage.put_block(&upload, &id(name), unannounced(body)).await.unwrap();
        assert_eq!(length, body.len() as u64);
    }
    assert_commits_to(storage, &upload, &ids(["a", "b", "c"]), &bodies.concat()).await;
}

pub(crate) async fn empty_blocks_are_blocks(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    put_block(storage, &upload, "empty", b"").await;
    put_block(storage, &upload, "a", b"1").await;
    put_block(storage, &upload, "also empty", b"").await;
    assert_commits_to(storage, &upload, &ids(["empty", "a", "also empty", "empty"]), b"1").await;
    let upload = new_upload();
    put_block(storage, &upload, "empty", b"").await;
    assert_commits_to(storage, &upload, &ids(["empty"]), b"").await;
}

pub(crate) async fn empty_lists_make_empty_objects(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let first = storage.commit(&upload, &[]).await.unwrap();
    assert_eq!(first, storage.commit(&upload, &[]).await.unwrap());
    assert_content(storage, &first.object, b"").await;
    let upload = new_upload();
    put_block(storage, &upload, "a", b"does not count").await;
    assert_commits_to(storage, &upload, &[], b"").await;
}

pub(crate) async fn ids_are_opaque(fixture: impl Fixture) {
    let storage = fixture.storage();
    let long = "x".repeat(BlockId::MAX_BYTES);
    let list = ["../../../etc/passwd", "/", ".", "..", "a\0b", "a\0", "\n", "ä", "a/b", "%2e%2e", " ", &long];
    let upload = new_upload();
    for block in list.iter().rev() {
        put_block(storage, &upload, block, block.as_bytes()).await;
    }
    assert_commits_to(storage, &upload, &ids(list), list.concat().as_bytes()).await;
}

pub(crate) async fn concurrent_blocks_do_not_mix(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bodies: Vec<Vec<u8>> = (0..40).map(|n| pattern(n * 20_000 + 1, n as u64)).collect();
    let list: Vec<BlockId> = (0..40).map(|n| id(&format!("{:02}", (n * 7) % 40))).collect();
    let puts = list.iter().zip(&bodies).enumerate().map(|(number, (id, body))| {
        let source = if number % 5 == 4 { unannounced(body) } else { whole(body) };
        storage.put_block(&upload, id, source)
    });
    for (length, body) in future::join_all(puts).await.into_iter().zip(&bodies) {
        assert_eq!(length.unwrap(), body.len() as u64);
    }
    assert_commits_to(storage, &upload, &list, &bodies.concat()).await;
}

pub(crate) async fn concurrent_bodies_of_one_id_do_not_mix(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bodies: Vec<Vec<u8>> = (0..10).map(|n| pattern(300_000, n)).collect();
    let a = id("a");
    let puts = bodies.iter().map(|body| storage.put_block(&upload, &a, whole(body)));
    let failing = storage.put_block(&upload, &a, broken(Some(300_000), &bodies[0][..200_000]));
    let (good, bad) = future::join(future::join_all(puts), failing).await;
    assert!(good.iter().all(Result::is_ok));
    assert_invalid(bad);
    let stored = storage.commit(&upload, &ids(["a"])).await.unwrap();
    let actual = super::read_range(storage, &stored.object, stored.size_bytes, None).await;
    assert!(bodies.contains(&actual));
}

pub(crate) async fn uploads_do_not_mix(fixture: impl Fixture) {
    let storage = fixture.storage();
    let (one, other) = (new_upload(), new_upload());
    put_block(storage, &one, "a", b"one").await;
    put_block(storage, &other, "a", b"other").await;
    put_block(storage, &other, "b", b"more").await;
    assert_invalid(storage.commit(&one, &ids(["a", "b"])).await);
    assert_commits_to(storage, &one, &ids(["a"]), b"one").await;
    assert_commits_to(storage, &other, &ids(["a"]), b"other").await;
}

pub(crate) async fn blocks_after_the_commit_are_invalid(mut fixture: impl Fixture) {
    let upload = new_upload();
    put_block(fixture.storage(), &upload, "a", b"12").await;
    let stored = fixture.storage().commit(&upload, &ids(["a"])).await.unwrap();
    for _ in 0..2 {
        for block in ["a", "b"] {
            assert_invalid(fixture.storage().put_block(&upload, &id(block), whole(b"345")).await);
            assert_invalid(fixture.storage().put_block(&upload, &id(block), unannounced(b"345")).await);
        }
        assert_content(fixture.storage(), &stored.object, b"12").await;
        fixture.restart().await;
    }
}

/// A source that stops half-way until it may continue.
fn interrupted(bytes: &[u8]) -> (oneshot::Sender<()>, Source) {
    let (go, wait) = oneshot::channel::<()>();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let pause = stream::once(async { _ = wait.await }).flat_map(|()| stream::empty());
    let chunks = whole(first).chunks.chain(pause).chain(whole(rest).chunks).boxed();
    (go, Source::new(Some(bytes.len() as u64), chunks))
}

pub(crate) async fn bodies_under_way_at_the_commit_do_not_count(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bytes = pattern(3_000_000, 2);
    put_block(storage, &upload, "a", b"listed").await;
    let (go, late) = interrupted(&bytes);
    let late_id = id("late");
    let put = storage.put_block(&upload, &late_id, late);
    let commit = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let stored = storage.commit(&upload, &ids(["a"])).await.unwrap();
        // No one waits if the driver noticed before the end of the body.
        _ = go.send(());
        stored
    };
    let (late, stored) = future::join(put, commit).await;
    assert_invalid(late);
    assert_content(storage, &stored.object, b"listed").await;
}

pub(crate) async fn bodies_under_way_at_the_discard_are_not_lost_in_silence(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bytes = pattern(3_000_000, 2);
    put_block(storage, &upload, "a", b"discarded").await;
    let (go, late) = interrupted(&bytes);
    let late_id = id("late");
    let put = storage.put_block(&upload, &late_id, late);
    let discard = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        storage.discard(&upload).await.unwrap();
        // No one waits if the driver noticed before the end of the body.
        _ = go.send(());
    };
    let (late, ()) = future::join(put, discard).await;
    let commit = storage.commit(&upload, &ids(["late"])).await;
    assert_eq!(late.is_ok(), commit.is_ok(), "{late:?} {commit:?}");
}

pub(crate) async fn commit_again_returns_the_same_object(mut fixture: impl Fixture) {
    let upload = new_upload();
    let list = ids(["b", "a", "b"]);
    put_block(fixture.storage(), &upload, "a", b"AA").await;
    put_block(fixture.storage(), &upload, "b", b"b").await;
    let stored = fixture.storage().commit(&upload, &list).await.unwrap();
    for _ in 0..2 {
        assert_eq!(fixture.storage().commit(&upload, &list).await.unwrap(), stored);
        assert_content(fixture.storage(), &stored.object, b"bAAb").await;
        fixture.restart().await;
    }
}

pub(crate) async fn commit_again_with_another_list_is_invalid(mut fixture: impl Fixture) {
    let upload = new_upload();
    let list = ids(["a", "b"]);
    for block in ["a", "b", "c"] {
        put_block(fixture.storage(), &upload, block, b"same").await;
    }
    let stored = fixture.storage().commit(&upload, &list).await.unwrap();
    for _ in 0..2 {
        for other in [
            &ids(["b", "a"])[..],
            &ids(["a"]),
            &ids(["a", "b", "b"]),
            &ids(["a", "c"]),
            &ids(["a", "x"]),
            &[],
        ] {
            assert_invalid(fixture.storage().commit(&upload, other).await);
        }
        assert_eq!(fixture.storage().commit(&upload, &list).await.unwrap(), stored);
        fixture.restart().await;
    }
}

pub(crate) async fn concurrent_commits_return_one_object(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let list = ids(["b", "a"]);
    put_block(storage, &upload, "a", b"1").await;
    put_block(storage, &upload, "b", b"2").await;
    let all = future::join_all((0..8).map(|_| storage.commit(&upload, &list))).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|stored| stored.as_ref().unwrap() == first));
    assert_content(storage, &first.object, b"21").await;
    assert_eq!(storage.list_objects(None).await.unwrap().items.len(), 1);
}

pub(crate) async fn many_small_blocks_commit(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bodies: Vec<Vec<u8>> = (0..5000).map(|n| pattern(n % 17, n as u64)).collect();
    for (number, body) in bodies.iter().enumerate() {
        // Sent in another order than listed.
        put_block(storage, &upload, &((number * 7) % 5000).to_string(), body).await;
    }
    let list: Vec<BlockId> = (0..5000).map(|n| id(&n.to_string())).collect();
    let expected: Vec<u8> = (0..5000).flat_map(|n| bodies[(n * 2143) % 5000].clone()).collect();
    assert_commits_to(storage, &upload, &list, &expected).await;
}

pub(crate) async fn discard_forgets_the_blocks(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    put_block(storage, &upload, "a", b"old").await;
    storage.discard(&upload).await.unwrap();
    assert_invalid(storage.commit(&upload, &ids(["a"])).await);
    put_block(storage, &upload, "b", b"new").await;
    assert_invalid(storage.commit(&upload, &ids(["a"])).await);
    assert_commits_to(storage, &upload, &ids(["b"]), b"new").await;
}

pub(crate) async fn discard_keeps_what_was_committed(mut fixture: impl Fixture) {
    let mut kept = Vec::new();
    for restart in [false, true] {
        let upload = new_upload();
        put_block(fixture.storage(), &upload, "a", b"kept").await;
        kept.push(fixture.storage().commit(&upload, &ids(["a"])).await.unwrap().object);
        if restart {
            fixture.restart().await;
        }
        fixture.storage().discard(&upload).await.unwrap();
    }
    for object in kept {
        assert_content(fixture.storage(), &object, b"kept").await;
    }
}

pub(crate) async fn discard_is_harmless_where_there_is_nothing(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    for _ in 0..3 {
        storage.discard(&upload).await.unwrap();
    }
    put_block(storage, &upload, "a", b"1").await;
    assert_commits_to(storage, &upload, &ids(["a"]), b"1").await;
}
