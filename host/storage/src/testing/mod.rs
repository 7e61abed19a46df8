//! Tools of tests: names, bytes, sources, and wrappers that fail as planned.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "tests")]

pub mod faulty;
#[cfg(feature = "bucket")]
pub mod faulty_bucket;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::{BlockId, Source, SourceError, UploadName};

/// A random name.
pub fn new_upload() -> UploadName {
    let mut random = [0_u8; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
    UploadName::parse(hex::encode(random)).unwrap()
}

/// A block id.
pub fn id(text: &str) -> BlockId {
    BlockId::parse(text).unwrap()
}

/// Some block ids.
pub fn ids<const N: usize>(texts: [&str; N]) -> Vec<BlockId> {
    texts.into_iter().map(id).collect()
}

/// Bytes in which every position differs from its neighbours, and one seed from another.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A source with an announced length.
pub fn whole(bytes: &[u8]) -> Source {
    chunked(bytes, 10_000)
}

/// A source in chunks of `chunk_bytes`.
pub fn chunked(bytes: &[u8], chunk_bytes: usize) -> Source {
    let chunks: Vec<_> = bytes.chunks(chunk_bytes).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Source::new(Some(bytes.len() as u64), stream::iter(chunks).boxed())
}

/// A source without an announced length.
pub fn unannounced(bytes: &[u8]) -> Source {
    Source { length: None, ..whole(bytes) }
}

/// A source that announces `length` bytes and ends cleanly after `bytes`.
pub fn announced(length: u64, bytes: &[u8]) -> Source {
    Source { length: Some(length), ..whole(bytes) }
}

/// A source that fails after `bytes`.
pub fn broken(length: Option<u64>, bytes: &[u8]) -> Source {
    let end = stream::iter([Err(SourceError::CutShort)]);
    Source::new(length, whole(bytes).chunks.chain(end).boxed())
}

/// A source that stalls after `bytes`.
pub fn stuck(length: Option<u64>, bytes: &[u8]) -> Source {
    Source::new(length, whole(bytes).chunks.chain(stream::pending()).boxed())
}
