//! Large blocks, and many blocks.
#![allow(clippy::print_stderr, reason = "figures, for `--nocapture`")]

use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

use super::bucket;
use crate::{
    BlockId, Source, Storage,
    conformance::{id, new_upload, pattern},
    objects::{ObjectSettings, ObjectStorage},
};

const BLOCKS: usize = 5000;
/// Of each block. 5,000 blocks of 1 MiB were measured, too; see ARCHITECTURE.md.
const BLOCK_BYTES: usize = 64 << 10;

fn repeated(chunk: &Bytes, times: usize) -> Source {
    let chunks = vec![chunk.clone(); times];
    Source::new(Some((chunk.len() * times) as u64), stream::iter(chunks).map(Ok).boxed())
}

#[tokio::test]
async fn five_thousand_small_blocks_commit_in_seconds() {
    let Some(bucket) = bucket().await else { return };
    let storage = ObjectStorage::open(bucket, &ObjectSettings::new(32 << 20)).unwrap();
    let upload = new_upload();
    let list: Vec<BlockId> = (0..BLOCKS).map(|n| id(&format!("{n:088}"))).collect();
    let body = Bytes::from(pattern(BLOCK_BYTES, 1));
    let began = Instant::now();
    for id in &list {
        storage.put_block(&upload, id, repeated(&body, 1)).await.unwrap();
    }
    let staged = began.elapsed();
    let began = Instant::now();
    let stored = storage.commit(&upload, &list).await.unwrap();
    let committed = began.elapsed();
    eprintln!("{BLOCKS} blocks of {BLOCK_BYTES} bytes: staged in {staged:?}, committed in {committed:?}");
    assert_eq!(stored.size_bytes, (BLOCKS * BLOCK_BYTES) as u64);
    assert_eq!(storage.stat(&stored.object).await.unwrap(), stored.size_bytes);
    assert!(committed.as_secs() < 10, "{committed:?}");
    let range = stored.size_bytes / 2..stored.size_bytes / 2 + BLOCK_BYTES as u64;
    let content = storage.open(&stored.object, stored.size_bytes, Some(range)).await.unwrap();
    assert!(crate::conformance::read(content).await.unwrap() == body);
    storage.discard(&upload).await.unwrap();
    storage.remove(&stored.object).await.unwrap();
}

#[tokio::test]
async fn large_blocks_in_parallel_are_one_object_of_their_size() {
    let Some(bucket) = bucket().await else { return };
    let storage = ObjectStorage::open(bucket.clone(), &ObjectSettings::new(64 << 20)).unwrap();
    let upload = new_upload();
    let list: Vec<BlockId> = (0..4).map(crate::objects::tests::toolkit_id).collect();
    let chunk = Bytes::from(pattern(1 << 20, 1));
    let began = Instant::now();
    future::try_join_all(list.iter().rev().map(|id| storage.put_block(&upload, id, repeated(&chunk, 64))))
        .await
        .unwrap();
    let stored = storage.commit(&upload, &list).await.unwrap();
    let up = began.elapsed();
    assert!(stored.object.as_str().starts_with("p-"), "{}", stored.object);
    let began = Instant::now();
    let mut content = storage.open(&stored.object, stored.size_bytes, None).await.unwrap();
    let mut length = 0;
    while let Some(read) = content.chunks.next().await {
        length += read.unwrap().len() as u64;
    }
    eprintln!("256 MiB in four blocks: up in {up:?}, down in {:?}", began.elapsed());
    assert_eq!(length, 256 << 20);

    let mut extra = 0;
    let page = bucket.list("", None).await.unwrap();
    for key in page.items.iter().filter(|item| !item.key.starts_with("objects/")) {
        extra += key.size_bytes;
    }
    assert!(extra < (256 << 20) / 1000, "{extra} bytes beside the content");
    storage.discard(&upload).await.unwrap();
    storage.remove(&stored.object).await.unwrap();
    assert!(bucket.list("", None).await.unwrap().items.is_empty());
}
