//! Promises on whole objects: `put`, `stat`, `open`, `remove`, `flush`.

use futures_util::{StreamExt, future};

use super::{
    Fixture, announced, assert_content, assert_invalid, assert_not_found, chunked, failing_sources, id,
    pattern, put_block, read_range, scattered_object, unannounced, whole,
};
use crate::{ObjectName, Storage, conformance::new_upload};

async fn put(storage: &dyn Storage, bytes: &[u8]) -> ObjectName {
    storage.put(&new_upload(), whole(bytes)).await.unwrap().object
}

pub(crate) async fn put_stores_what_came(fixture: impl Fixture) {
    let storage = fixture.storage();
    for length in [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 300_000, 3_000_001] {
        let bytes = pattern(length, length as u64);
        for source in [whole(&bytes), unannounced(&bytes), chunked(&bytes, 777), chunked(&bytes, 1 << 20)] {
            let stored = storage.put(&new_upload(), source).await.unwrap();
            assert_eq!(stored.size_bytes, length as u64);
            assert_content(storage, &stored.object, &bytes).await;
        }
    }
}

pub(crate) async fn put_of_a_failing_source_stores_nothing(fixture: impl Fixture) {
    let storage = fixture.storage();
    for source in failing_sources() {
        assert_invalid(storage.put(&new_upload(), source).await);
    }
    let large = pattern(3_000_000, 1);
    assert_invalid(storage.put(&new_upload(), announced(3_000_001, &large)).await);
    assert!(storage.list_objects(None).await.unwrap().items.is_empty());
}

pub(crate) async fn put_makes_an_object_of_its_own_each_time(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let first = storage.put(&upload, whole(b"first")).await.unwrap().object;
    let second = storage.put(&upload, whole(b"second")).await.unwrap().object;
    assert_ne!(first, second);
    assert_content(storage, &first, b"first").await;
    assert_content(storage, &second, b"second").await;
}

pub(crate) async fn put_leaves_the_blocks_alone(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    put_block(storage, &upload, "a", b"block").await;
    let object = storage.put(&upload, whole(b"whole")).await.unwrap().object;
    let committed = storage.commit(&upload, &[id("a")]).await.unwrap().object;
    assert_content(storage, &object, b"whole").await;
    assert_content(storage, &committed, b"block").await;
}

pub(crate) async fn concurrent_puts_do_not_mix(fixture: impl Fixture) {
    let storage = fixture.storage();
    let bodies: Vec<Vec<u8>> = (0..32).map(|seed| pattern(100_000 + seed, seed as u64)).collect();
    let objects = future::join_all(bodies.iter().map(|body| put(storage, body))).await;
    for (object, body) in objects.iter().zip(&bodies) {
        assert_content(storage, object, body).await;
    }
}

pub(crate) async fn stat_and_open_of_what_is_not_there_are_not_found(fixture: impl Fixture) {
    let storage = fixture.storage();
    let mut names = vec!["x".to_owned(), "-".to_owned(), "p-".to_owned(), "0".repeat(128)];
    for kind in ["p-", "s-", "z-"] {
        names.push(format!("{kind}{}", "0123456789abcdef".repeat(2)));
        names.push(format!("{kind}{}", "z".repeat(32)));
    }
    for name in names {
        let name = ObjectName::parse(name).unwrap();
        assert_not_found(storage.stat(&name).await);
        assert_not_found(storage.open(&name, 0, None).await);
        assert_not_found(storage.open(&name, 5, Some(1..2)).await);
        storage.remove(&name).await.unwrap();
    }
}

pub(crate) async fn open_with_another_size_is_not_found(fixture: impl Fixture) {
    let storage = fixture.storage();
    let plain = put(storage, b"12345").await;
    let scattered = scattered_object(storage, &[b"12", b"345"]).await;
    for object in [plain, scattered] {
        for size_bytes in [0, 4, 6, u64::MAX] {
            assert_not_found(storage.open(&object, size_bytes, None).await);
            assert_not_found(storage.open(&object, size_bytes, Some(0..0)).await);
        }
    }
}

pub(crate) async fn open_outside_of_the_object_is_invalid(fixture: impl Fixture) {
    let storage = fixture.storage();
    let object = put(storage, b"12345").await;
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..6, 5..6, 6..7, 3..2, 0..u64::MAX, u64::MAX..u64::MAX] {
        assert_invalid(storage.open(&object, 5, Some(range)).await.map(|content| content.length));
    }
}

pub(crate) async fn ranges_are_exact_at_all_borders(fixture: impl Fixture) {
    let storage = fixture.storage();
    let blocks: Vec<Vec<u8>> =
        [1, 70_000, 2, 300_001, 65_536, 1].iter().map(|n| pattern(*n, *n as u64)).collect();
    let bytes = blocks.concat();
    let plain = put(storage, &bytes).await;
    let scattered = scattered_object(storage, &blocks.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let mut borders = vec![0, 65_536, bytes.len()];
    let mut end = 0;
    for block in &blocks {
        end += block.len();
        borders.extend([end - 1, end, (end + 1).min(bytes.len())]);
    }
    for object in [&plain, &scattered] {
        for start in &borders {
            for end in borders.iter().filter(|end| *end >= start) {
                let range = *start as u64..*end as u64;
                let actual = read_range(storage, object, bytes.len() as u64, Some(range)).await;
                assert!(actual == bytes[*start..*end], "{start}..{end} of {object}");
            }
        }
    }
}

pub(crate) async fn content_comes_in_order_however_large(fixture: impl Fixture) {
    let storage = fixture.storage();
    let bytes = pattern(20_000_003, 5);
    let object = put(storage, &bytes).await;
    assert_content(storage, &object, &bytes).await;
}

pub(crate) async fn removed_objects_are_not_found(fixture: impl Fixture) {
    let storage = fixture.storage();
    for object in [put(storage, b"12345").await, scattered_object(storage, &[b"12", b"345"]).await] {
        storage.remove(&object).await.unwrap();
        assert_not_found(storage.stat(&object).await);
        assert_not_found(storage.open(&object, 5, None).await);
    }
}

pub(crate) async fn remove_is_harmless_when_repeated(fixture: impl Fixture) {
    let storage = fixture.storage();
    let (object, other) = (put(storage, b"one").await, put(storage, b"other").await);
    for _ in 0..3 {
        storage.remove(&object).await.unwrap();
    }
    assert_content(storage, &other, b"other").await;
}

pub(crate) async fn remove_under_a_reader_never_ends_the_content_early(fixture: impl Fixture) {
    let storage = fixture.storage();
    let bytes = pattern(5_000_000, 8);
    let object = put(storage, &bytes).await;
    let mut content = storage.open(&object, bytes.len() as u64, None).await.unwrap();
    let mut read = content.chunks.next().await.unwrap().unwrap().to_vec();
    storage.remove(&object).await.unwrap();
    let mut failed = false;
    while let Some(chunk) = content.chunks.next().await {
        match chunk {
            Ok(chunk) => read.extend_from_slice(&chunk),
            Err(_) => failed = true,
        }
    }
    assert!(failed || read == bytes);
    assert!(bytes.starts_with(&read));
}

pub(crate) async fn objects_that_were_cut_short_are_not_found(fixture: impl Fixture) {
    let storage = fixture.storage();
    for object in [put(storage, b"12345").await, scattered_object(storage, &[b"12", b"345"]).await] {
        fixture.cut_short(&object).await;
        assert_ne!(storage.stat(&object).await.ok(), Some(5));
        assert_not_found(storage.open(&object, 5, None).await);
        assert_not_found(storage.open(&object, 5, Some(0..1)).await);
    }
}

pub(crate) async fn flush_takes_whatever_it_is_given(fixture: impl Fixture) {
    let storage = fixture.storage();
    let plain = put(storage, b"12345").await;
    let scattered = scattered_object(storage, &[b"12", b"345"]).await;
    let removed = put(storage, b"gone").await;
    storage.remove(&removed).await.unwrap();
    assert!(storage.flush(&[]).await.is_empty());
    let flushed = storage.flush(&[plain.clone(), removed, scattered.clone(), plain.clone()]).await;
    assert!(flushed.len() == 4 && flushed.iter().all(Result::is_ok), "{flushed:?}");
    assert_content(storage, &plain, b"12345").await;
    assert_content(storage, &scattered, b"12345").await;
}

pub(crate) async fn objects_survive_a_restart(mut fixture: impl Fixture) {
    let bytes = pattern(200_000, 4);
    let plain = put(fixture.storage(), &bytes).await;
    let scattered = scattered_object(fixture.storage(), &[&bytes[..100], &bytes[100..]]).await;
    fixture.restart().await;
    assert_content(fixture.storage(), &plain, &bytes).await;
    assert_content(fixture.storage(), &scattered, &bytes).await;
}
