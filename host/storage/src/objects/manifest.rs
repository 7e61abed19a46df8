//! Segmented objects: which bytes of which data are the content.
//!
//! Where the order of the block list does not agree with the order in which the parts were stored, or several processes
//! stored parts, the bytes stay where they are and a manifest beside them says how to read them. Copying them inside of the
//! service would write every byte twice, and keep the client waiting.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Shared, journal, keys::Base};
use crate::{
    StorageError,
    extents::{self, Extent},
};

/// A manifest. Offsets count from the start of the first data to the end of the last, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) size_bytes: u64,
    pub(super) data: Vec<Data>,
    /// Offset and length of each piece.
    extents: Vec<(u64, u64)>,
}

/// Bytes in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Data {
    pub(super) base: String,
    pub(super) size_bytes: u64,
}

/// Bytes of one data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: String,
    /// Of the data as a whole.
    pub(super) size_bytes: u64,
    pub(super) range: Range<u64>,
}

impl Data {
    pub(super) fn base(&self) -> Result<Base, StorageError> {
        Base::parse(&self.base).ok_or(StorageError::NotFound)
    }
}

impl Manifest {
    pub(super) fn new(data: Vec<Data>, extents: &[Extent], size_bytes: u64) -> Self {
        let extents = extents.iter().map(|extent| (extent.offset, extent.length)).collect();
        Self { size_bytes, data, extents }
    }

    /// Reads the manifest of an object; [`StorageError::NotFound`] where there is none.
    pub(super) async fn read(shared: &Shared, base: &Base) -> Result<Self, StorageError> {
        journal::read(shared, &base.manifest()).await
    }

    /// Returns the pieces that the bytes `range` of the content are made of.
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
