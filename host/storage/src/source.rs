//! Bytes to store and bytes to send, and the checks of their lengths.

#[cfg(feature = "bucket")]
use std::error::Error;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream::BoxStream};
#[cfg(feature = "bucket")]
use futures_util::{
    TryStreamExt,
    stream::{self, Stream},
};

use crate::{
    SourceError, StorageError,
    digest::{DigestRecorder, Recording},
};

/// Bytes to store.
pub struct Source {
    /// The announced length in bytes, which the driver checks.
    pub length: Option<u64>,
    /// The bytes, in chunks of any size.
    pub chunks: BoxStream<'static, Result<Bytes, SourceError>>,
    pub(crate) recorder: Option<DigestRecorder>,
}

impl Source {
    /// A source of these chunks.
    pub fn new(length: Option<u64>, chunks: BoxStream<'static, Result<Bytes, SourceError>>) -> Self {
        Self { length, chunks, recorder: None }
    }

    /// Computes the SHA-256 of the bytes while they are received. To be called last: what is made of the
    /// chunks of the result does not record.
    #[must_use]
    pub fn recording_digest(self) -> Self {
        let recorder = DigestRecorder::new();
        let chunks = Recording { chunks: self.chunks, recorder: recorder.clone() };
        Self { length: self.length, chunks: chunks.boxed(), recorder: Some(recorder) }
    }

    /// Returns what computes the digest, if it was asked for. A driver takes it before it takes the chunks.
    pub(crate) fn recorder(&self) -> Option<DigestRecorder> {
        self.recorder.clone()
    }

    /// Ends a body of unknown length with [`SourceError::TooLarge`] once it is longer than `limit`,
    /// so that it cannot fill the storage. A known length has been checked before.
    pub fn within(self, limit: Option<u64>) -> Self {
        let (None, Some(limit)) = (self.length, limit) else { return self };
        let counted = self.chunks.scan(0_u64, move |length, chunk| {
            let chunk = chunk.and_then(|bytes| {
                *length += bytes.len() as u64;
                if *length > limit { Err(SourceError::TooLarge) } else { Ok(bytes) }
            });
            future::ready(Some(chunk))
        });
        Self::new(None, counted.boxed())
    }

    /// Converts the source into a content of `length` bytes.
    #[cfg(feature = "bucket")]
    pub(crate) fn into_content(self, length: u64) -> Content {
        Content { length, chunks: self.chunks.map_err(StorageError::from).boxed() }
    }
}

/// Bytes of an object.
pub struct Content {
    /// The length in bytes.
    pub length: u64,
    /// The bytes, in chunks of any size. Never ends early without an error.
    pub chunks: BoxStream<'static, Result<Bytes, StorageError>>,
}

#[cfg(feature = "bucket")]
impl Content {
    /// Makes a content of exactly `length` bytes. Chunks that end early, are too long or fail end
    /// with [`StorageError::Unavailable`].
    pub(crate) fn exact<E: Into<Box<dyn Error + Send + Sync>> + 'static>(
        context: &'static str,
        length: u64,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self {
        let state = Some((chunks.boxed(), length));
        let checked = stream::unfold(state, move |state| async move {
            let (mut chunks, left) = state?;
            let next: Result<Bytes, Box<dyn Error + Send + Sync>> = match chunks.next().await {
                Some(Err(error)) => Err(error.into()),
                Some(Ok(chunk)) if chunk.len() as u64 > left => {
                    Err("the content is longer than announced".into())
                }
                Some(Ok(chunk)) => Ok(chunk),
                None if left == 0 => return None,
                None => Err(format!("the content ended {left} bytes early").into()),
            };
            let rest = next.as_ref().ok().map(|chunk| (chunks, left - chunk.len() as u64));
            Some((next.map_err(|error| StorageError::Unavailable { context, source: error }), rest))
        });
        Self { length, chunks: checked.boxed() }
    }
}

/// A body has another length than announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongLength {
    /// Too few bytes.
    #[error("the body ended early")]
    Short,
    /// Too many bytes.
    #[error("the body is longer than announced")]
    Long,
}

impl From<WrongLength> for StorageError {
    fn from(error: WrongLength) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Compares the received bytes of a body with its announced length.
#[derive(Debug)]
pub(crate) struct LengthCheck {
    announced: Option<u64>,
    received: u64,
}

impl LengthCheck {
    /// `announced`: the length in bytes; `None` accepts any length.
    pub(crate) fn new(announced: Option<u64>) -> Self {
        Self { announced, received: 0 }
    }

    /// Counts a received chunk.
    pub(crate) fn add(&mut self, chunk: &Bytes) -> Result<(), WrongLength> {
        self.received += chunk.len() as u64;
        if self.announced.is_some_and(|length| self.received > length) {
            return Err(WrongLength::Long);
        }
        Ok(())
    }

    /// Returns whether all announced bytes have been received.
    #[cfg(feature = "bucket")]
    pub(crate) fn is_complete(&self) -> bool {
        self.announced == Some(self.received)
    }

    /// Checks the length at the end of the body, and returns it.
    pub(crate) fn finish(&self) -> Result<u64, WrongLength> {
        if self.announced.is_some_and(|length| self.received < length) {
            return Err(WrongLength::Short);
        }
        Ok(self.received)
    }
}
