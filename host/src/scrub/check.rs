//! Reads one object, and compares it.

use futures_util::StreamExt as _;
use larder_common::causes::chain;
use larder_index::Entry;
use larder_storage::{Content, Digest, Hasher, Storage, StorageError, Verifier};

use super::{control::Run, pace::Pace};

/// What an object is found to be.
#[derive(Debug)]
pub(super) enum Finding {
    /// What was recorded.
    Good,
    /// Nothing was recorded of it, but for its length. With its digest, if it was read.
    Unrecorded(Option<Digest>),
    /// It has other bytes.
    Damaged,
    /// It is gone, or has another length.
    Lost,
    /// It could not be read, and why.
    Unreadable(String),
    /// The scrub was stopped meanwhile.
    Stopped,
}

impl Finding {
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::Damaged | Self::Lost)
    }
}

/// Reads the object of an entry. Without a digest it is read only if `record` asks for one.
pub(super) async fn read(
    storage: &dyn Storage,
    entry: &Entry,
    digest: Option<&Digest>,
    record: bool,
    pace: &mut Pace,
    run: &Run,
) -> Finding {
    if digest.is_none() && !record {
        return match storage.stat(&entry.object).await {
            Ok(size) if size == entry.size_bytes => Finding::Unrecorded(None),
            Ok(_) => Finding::Lost,
            Err(error) => failed(&error),
        };
    }
    let content = match storage.open(&entry.object, entry.size_bytes, None).await {
        Ok(content) => content,
        Err(error) => return failed(&error),
    };
    match digest {
        Some(digest) => {
            let mut verifier = Verifier::new(digest);
            match each_chunk(content, pace, run, |bytes| verifier.update(bytes)).await {
                None if verifier.is_right() => Finding::Good,
                None => Finding::Damaged,
                Some(finding) => finding,
            }
        }
        None => {
            let mut hasher = Hasher::default();
            match each_chunk(content, pace, run, |bytes| hasher.update(bytes)).await {
                None => Finding::Unrecorded(hasher.finish(entry.size_bytes).map(Digest::Whole)),
                Some(finding) => finding,
            }
        }
    }
}

/// Takes all chunks of a content. Returns why it did not.
async fn each_chunk(
    mut content: Content,
    pace: &mut Pace,
    run: &Run,
    mut take: impl FnMut(&[u8]),
) -> Option<Finding> {
    while let Some(chunk) = content.chunks.next().await {
        let bytes = match chunk {
            Ok(bytes) => bytes,
            Err(error) => return Some(failed(&error)),
        };
        take(&bytes);
        let length = bytes.len() as u64;
        run.note(|status| status.bytes += length);
        pace.read(length).await;
        if run.is_stopped() {
            return Some(Finding::Stopped);
        }
    }
    None
}

fn failed(error: &StorageError) -> Finding {
    match error {
        StorageError::NotFound => Finding::Lost,
        error => Finding::Unreadable(chain(error).to_string()),
    }
}
