//! Promises on digests: what is known of the bytes of an object.

use futures_util::StreamExt;

use super::{
    Fixture, assert_content, broken, chunked, id, ids, new_upload, pattern, put_block, read_range,
    unannounced, whole,
};
use crate::{Digest, Source, Storage, Stored, UploadName, Verifier, sha256};

/// Whether the bytes of an object, as they are read, are those that its digest is of.
async fn is_right(storage: &dyn Storage, stored: &Stored) -> bool {
    let mut verifier = Verifier::new(stored.digest.as_ref().expect("a digest"));
    let mut content = storage.open(&stored.object, stored.size_bytes, None).await.unwrap();
    while let Some(chunk) = content.chunks.next().await {
        verifier.update(&chunk.unwrap());
    }
    verifier.is_right()
}

async fn stage(storage: &dyn Storage, upload: &UploadName, name: &str, source: Source) {
    storage.put_block(upload, &id(name), source.recording_digest()).await.unwrap();
}

pub(crate) async fn an_object_has_the_digest_of_its_bytes(fixture: impl Fixture) {
    let storage = fixture.storage();
    // In one piece, and in parts.
    for length in [0, 1, 300_000, 3_000_001] {
        let bytes = pattern(length, length as u64);
        for source in [chunked(&bytes, 1 << 20), unannounced(&bytes)] {
            let stored = storage.put(&new_upload(), source.recording_digest()).await.unwrap();
            assert_eq!(stored.digest, Some(Digest::Whole(sha256(&bytes))), "{length}");
        }
    }
    // In one request, where a bucket has those.
    let bytes = pattern(14 << 20, 1);
    let stored = storage.put(&new_upload(), chunked(&bytes, 1 << 20).recording_digest()).await.unwrap();
    assert_eq!(stored.digest, Some(Digest::Whole(sha256(&bytes))));
}

pub(crate) async fn an_object_of_blocks_has_the_digest_of_their_list(mut fixture: impl Fixture) {
    let (upload, list) = (new_upload(), ids(["b", "a", "large", "b", "c"]));
    let bodies = [pattern(70_000, 1), pattern(200_000, 2), pattern(14 << 20, 3), pattern(6 << 20, 4)];
    let [a, b, large, c] = &bodies;
    let storage = fixture.storage();
    stage(storage, &upload, "c", whole(c)).await;
    stage(storage, &upload, "b", whole(b"another body")).await;
    stage(storage, &upload, "large", chunked(large, 1 << 20)).await;
    assert!(storage.put_block(&upload, &id("b"), broken(None, a).recording_digest()).await.is_err());
    stage(storage, &upload, "a", unannounced(a)).await;
    stage(storage, &upload, "b", whole(b)).await;
    stage(storage, &upload, "not listed", whole(b"x")).await;
    storage.settle().await.unwrap();
    let stored = storage.commit(&upload, &list).await.unwrap();
    let expected = [b, a, large, b, c].map(|body| (body.len() as u64, Some(sha256(body))));
    assert_eq!(stored.digest, Digest::of_blocks(expected));
    assert!(is_right(storage, &stored).await);
    assert_eq!(storage.commit(&upload, &list).await.unwrap(), stored);
    fixture.restart().await;
    assert_eq!(fixture.storage().commit(&upload, &list).await.unwrap(), stored, "after a restart");
}

pub(crate) async fn what_was_not_asked_to_record_has_no_digest(fixture: impl Fixture) {
    let storage = fixture.storage();
    assert_eq!(storage.put(&new_upload(), whole(b"bytes")).await.unwrap().digest, None);
    let upload = new_upload();
    stage(storage, &upload, "a", whole(b"recorded")).await;
    put_block(storage, &upload, "b", b"not recorded").await;
    let stored = storage.commit(&upload, &ids(["a", "b"])).await.unwrap();
    assert_eq!(stored.digest, None);
    assert_content(storage, &stored.object, b"recordednot recorded").await;
}

pub(crate) async fn a_bit_that_flips_is_found(fixture: impl Fixture) {
    let storage = fixture.storage();
    let upload = new_upload();
    let bytes = pattern(100_000, 1);
    let whole_body = storage.put(&upload, whole(&bytes).recording_digest()).await.unwrap();
    stage(storage, &upload, "a", whole(&bytes)).await;
    stage(storage, &upload, "b", whole(&pattern(6 << 20, 2))).await;
    let in_order = storage.commit(&upload, &ids(["a", "b"])).await.unwrap();
    for stored in [&whole_body, &in_order] {
        assert!(is_right(storage, stored).await);
        fixture.flip(&stored.object).await;
        assert!(!is_right(storage, stored).await);
        let length = stored.size_bytes;
        assert_eq!(read_range(storage, &stored.object, length, None).await.len() as u64, length);
    }
}
