//! Manifests of segmented objects.
//!
//! If the block list is not in the order of the parts, or several processes stored parts, the bytes
//! stay where they are, and a manifest has the extents of the content. Server-side copies would
//! write every byte twice, and keep the client waiting.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Shared, journal, keys::Base};
use crate::{
    StorageError,
    extents::{self, Extent},
};

/// A manifest. Offsets are in the concatenation of all data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) size_bytes: u64,
    pub(super) data: Vec<DataObject>,
    /// Offset and length of each extent.
    extents: Vec<(u64, u64)>,
}

/// A data object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataObject {
    pub(super) base: String,
    pub(super) size_bytes: u64,
}

/// A range of one data object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: String,
    /// Size of the whole data object.
    pub(super) size_bytes: u64,
    pub(super) range: Range<u64>,
}

impl DataObject {
    pub(super) fn base(&self) -> Result<Base, StorageError> {
        Base::parse(&self.base).ok_or(StorageError::NotFound)
    }
}

impl Manifest {
    pub(super) fn new(data: Vec<DataObject>, extents: &[Extent], size_bytes: u64) -> Self {
        let extents = extents.iter().map(|extent| (extent.offset, extent.length)).collect();
        Self { size_bytes, data, extents }
    }

    /// Reads the manifest of an object; [`StorageError::NotFound`] if there is none.
    pub(super) async fn read(shared: &Shared, base: &Base) -> Result<Self, StorageError> {
        journal::read(shared, &base.manifest()).await
    }

    /// Returns the pieces of the bytes `range` of the content.
    pub(super) fn pieces(&self, range: &Range<u64>) -> Result<Vec<Piece>, StorageError> {
        let all: Vec<Extent> =
            self.extents.iter().map(|(offset, length)| Extent { offset: *offset, length: *length }).collect();
        let mut starts = Vec::with_capacity(self.data.len());
        let mut end = 0;
        for data in &self.data {
            starts.push(end);
            end += data.size_bytes;
        }
        let mut pieces = Vec::new();
        for extent in extents::slice(&all, range) {
            let first = starts.partition_point(|start| *start <= extent.offset).saturating_sub(1);
            for (data, start) in self.data[first..].iter().zip(&starts[first..]) {
                let from = extent.offset.max(*start);
                let until = extent.end().min(start + data.size_bytes);
                if from < until {
                    let key = data.base()?.data();
                    pieces.push(Piece {
                        key,
                        size_bytes: data.size_bytes,
                        range: from - start..until - start,
                    });
                }
            }
        }
        Ok(pieces)
    }
}
