//! Bytes to and from the service.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::{Bytes, BytesMut};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use crate::{
    Content, StorageError,
    bucket::Pieces,
    sending::{Bounds, Sending, Watch},
};

/// Bounds on the service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long no bytes may come.
    pub(super) silence: Duration,
}

impl Limits {
    /// Returns what bounds a request that sends bytes.
    pub(super) fn sending(self) -> Bounds {
        Bounds::of_silence(self.silence)
    }
}

/// Returns how many bytes there are.
pub(super) fn length(pieces: &Pieces) -> i64 {
    i64::try_from(pieces.iter().map(Bytes::len).sum::<usize>()).unwrap_or(i64::MAX)
}

/// Makes a body of pieces. It can be sent again; is not hashed for the signature, for TLS protects it on the way.
pub(super) fn watched(pieces: Pieces, watch: &Arc<Watch>) -> ByteStream {
    let watch = Arc::clone(watch);
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Sending::pieces(pieces.clone(), &watch))
    }))
}

/// Makes a body of bytes that are still coming. It cannot be sent again.
pub(super) fn passing(content: Content, watch: &Arc<Watch>) -> ByteStream {
    ByteStream::new(SdkBody::from_body_1_x(Sending::new(content, watch)))
}

/// Returns a length as the service wants it.
pub(super) fn announced(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Reads how large an object is of which a part came.
pub(super) fn total_of(content_range: &str) -> Option<u64> {
    content_range.strip_prefix("bytes ")?.rsplit_once('/')?.1.parse().ok()
}

/// Returns the chunks of an answer. They end with an error where there are not exactly `length` bytes.
pub(super) fn chunks(
    body: ByteStream,
    length: u64,
    limits: Limits,
) -> BoxStream<'static, Result<Bytes, StorageError>> {
    let next = move |state: Option<(ByteStream, u64)>| async move {
        let (mut body, left) = state?;
        let chunk = match timeout(limits.silence, body.next()).await {
            Err(error) => Err(broken(error)),
            Ok(Some(Err(error))) => Err(broken(error)),
            Ok(None) if left == 0 => return None,
            Ok(None) => Err(broken("the answer ended early")),
            Ok(Some(Ok(chunk))) if chunk.len() as u64 > left => Err(broken("the answer is too long")),
            Ok(Some(Ok(chunk))) => Ok(chunk),
        };
        let rest = chunk.as_ref().ok().map(|chunk| chunk.len() as u64).map(|came| (body, left - came));
        Some((chunk, rest))
    };
    stream::unfold(Some((body, length)), next).boxed()
}

/// Returns all bytes.
pub(super) async fn whole(
    chunks: BoxStream<'static, Result<Bytes, StorageError>>,
    length: u64,
) -> Result<Bytes, StorageError> {
    let all = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
    let append = |mut all: BytesMut, chunk: Bytes| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    };
    chunks.try_fold(all, append).await.map(BytesMut::freeze)
}

fn broken(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::unavailable("read an object", source)
}
