//! What the bodies promise.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use larder_storage::{Content, SourceError, StorageError};

use super::{Outgoing, ReadError, RequestBody, request_quota::Growing};

fn content(length: u64, chunks: Vec<Result<Bytes, StorageError>>) -> Outgoing {
    Outgoing::stored(Content { length, chunks: stream::iter(chunks).boxed() })
}

fn chunk(length: usize) -> Result<Bytes, StorageError> {
    Ok(Bytes::from(vec![1; length]))
}

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_one_byte_more_is_refused() {
    let quota = &mut Growing::unbounded();
    let body = |length: usize| RequestBody::full(Bytes::from(vec![1; length]));
    assert_eq!(body(10).read_to_end(10, quota).await.unwrap().len(), 10);
    assert_eq!(body(0).read_to_end(0, quota).await.unwrap().len(), 0);
    assert!(matches!(body(11).read_to_end(10, quota).await, Err(ReadError::Source(SourceError::TooLarge))));
}

#[tokio::test]
async fn a_stored_object_is_sent_whole() {
    let whole = content(30, vec![chunk(10), chunk(20)]).collect().await.unwrap();
    assert_eq!(whole.to_bytes().len(), 30);
}

#[tokio::test]
async fn an_object_that_ends_early_is_an_error_and_never_a_clean_end() {
    assert!(content(31, vec![chunk(10), chunk(20)]).collect().await.is_err());
    assert!(content(31, vec![chunk(10), Err(StorageError::NotFound)]).collect().await.is_err());
}

#[tokio::test]
async fn an_object_that_is_longer_than_announced_is_an_error() {
    assert!(content(29, vec![chunk(10), chunk(20)]).collect().await.is_err());
}
