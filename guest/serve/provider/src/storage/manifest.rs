//! The list of an upload's blocks that makes it an object.

use serde::{Deserialize, Serialize};

/// What is linked into the folder of an upload once, and never changes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The name of the object; `None` where the upload was discarded instead.
    pub(crate) object: Option<String>,
    pub(crate) size_bytes: u64,
    /// All blocks that were staged, by id: the names of their files.
    pub(crate) blocks: Vec<String>,
    /// The object's bytes: which block comes when, by place in `blocks`.
    pub(crate) order: Vec<u32>,
}

/// A stretch of a block's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The path of the file.
    pub(crate) path: String,
    /// The length of the whole file, in bytes.
    pub(crate) file_bytes: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Picks the stretches of files that are the bytes `start..end` of an object. `files` are the
/// object's, in order: path and length.
pub(crate) fn segments(files: impl IntoIterator<Item = (String, u64)>, start: u64, end: u64) -> Vec<Segment> {
    let mut picked = Vec::new();
    let mut at = 0_u64;
    for (path, file_bytes) in files {
        let file_end = at.saturating_add(file_bytes);
        let (from, to) = (start.clamp(at, file_end), end.clamp(at, file_end));
        if from < to {
            picked.push(Segment { path, file_bytes, start: from - at, end: to - at });
        }
        at = file_end;
    }
    picked
}
