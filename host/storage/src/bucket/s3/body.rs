//! The bodies of requests and responses.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::{Bytes, BytesMut};
use futures_util::{TryStreamExt, stream};

use crate::{
    Content, StorageError,
    bucket::{
        Pieces,
        stall::{StallDetector, StallTimeouts, UploadBody, with_read_timeout},
    },
};

const CONTEXT: &str = "reading an object";

/// Timeouts of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadTimeouts {
    /// Longest time without a byte.
    pub(super) idle_timeout: Duration,
}

impl ReadTimeouts {
    /// The timeouts of a request that sends bytes.
    pub(super) fn stall_timeouts(self) -> StallTimeouts {
        StallTimeouts::from_timeout(self.idle_timeout)
    }
}

/// Length of a body in bytes.
pub(super) fn length(pieces: &Pieces) -> i64 {
    i64::try_from(pieces.iter().map(Bytes::len).sum::<usize>()).unwrap_or(i64::MAX)
}

/// Makes a body from memory, which can be sent again. It is not hashed for the signature: TLS
/// protects it.
pub(super) fn from_memory(pieces: Pieces, stall: &Arc<StallDetector>) -> ByteStream {
    let stall = Arc::clone(stall);
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(UploadBody::pieces(pieces.clone(), &stall))
    }))
}

/// Makes a body of arriving bytes, which cannot be sent again.
pub(super) fn streamed(content: Content, stall: &Arc<StallDetector>) -> ByteStream {
    ByteStream::new(SdkBody::from_body_1_x(UploadBody::new(content, stall)))
}

/// Converts a length to the SDK's type.
pub(super) fn sdk_length(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Parses the size of the whole object from a `Content-Range` field.
pub(super) fn total_of(content_range: &str) -> Option<u64> {
    content_range.strip_prefix("bytes ")?.rsplit_once('/')?.1.parse().ok()
}

/// Returns the content of a response. It ends with an error unless it has exactly `length` bytes,
/// or if none arrive for [`ReadTimeouts::idle_timeout`].
pub(super) fn content(body: ByteStream, length: u64, timeouts: ReadTimeouts) -> Content {
    let chunks = stream::unfold(body, |mut body| async move { body.next().await.map(|chunk| (chunk, body)) });
    Content::exact(CONTEXT, length, with_read_timeout(timeouts.idle_timeout, chunks))
}

/// Reads a content into memory.
pub(super) async fn whole(content: Content) -> Result<Bytes, StorageError> {
    let all = BytesMut::with_capacity(usize::try_from(content.length).unwrap_or(0));
    let append = |mut all: BytesMut, chunk: Bytes| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    };
    content.chunks.try_fold(all, append).await.map(BytesMut::freeze)
}
