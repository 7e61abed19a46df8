//! The plan of a commit.
//!
//! A plan has the parts with which each multipart upload is completed, and the bytes of them that
//! are the content, in order. It is made and stored once for an upload. Any process can execute it,
//! and repeat each step.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::{
    journal::block_id,
    keys::{Base, Named},
    manifest::{DataObject, Manifest},
    staging::StoredPart,
};
use crate::{
    BlockId, StorageError,
    bucket::Part,
    extents::{self, Extent},
};

/// A plan, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The name of the object.
    pub(super) object: String,
    pub(super) size_bytes: u64,
    /// Fingerprint of its block list.
    pub(super) list: String,
    /// The multipart uploads to complete.
    pub(super) multiparts: Vec<PlannedMultipart>,
    /// The manifest of a segmented object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<Manifest>,
    /// What is known of its bytes, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    /// Blocks without a record: the leftovers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) blocks: Vec<PlannedBlock>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlannedMultipart {
    pub(super) base: String,
    pub(super) id: String,
    pub(super) size_bytes: u64,
    /// Numbers and tags.
    pub(super) parts: Vec<(u32, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlannedBlock {
    #[serde(with = "block_id")]
    pub(super) id: BlockId,
    pub(super) size_bytes: u64,
}

/// Bytes of the content: at an offset of these parts, concatenated.
pub(super) struct ContentRange<'a> {
    pub(super) parts: &'a [StoredPart],
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl ContentRange<'_> {
    /// Returns the parts that it is in, and the extent in each.
    fn pieces(&self) -> impl Iterator<Item = (&StoredPart, Extent)> {
        let (mut skip, mut left) = (self.offset, self.length);
        self.parts.iter().filter_map(move |part| {
            let length = part.length.saturating_sub(skip).min(left);
            let extent = Extent { offset: skip, length };
            skip = skip.saturating_sub(part.length);
            left -= length;
            (length > 0).then_some((part, extent))
        })
    }
}

/// The used parts of one multipart upload.
struct Used<'a> {
    parts: BTreeMap<u32, &'a StoredPart>,
}

impl Used<'_> {
    fn size(&self) -> u64 {
        self.parts.values().map(|part| part.length).sum()
    }

    /// Returns the offsets of the parts, in an object that begins at `start`.
    fn starts(&self, mut start: u64) -> Vec<(u32, u64)> {
        let place = |(number, part): (&u32, &&StoredPart)| {
            let at = start;
            start += part.length;
            (*number, at)
        };
        self.parts.iter().map(place).collect()
    }
}

/// Makes the plan for content of these stretches.
pub(super) fn of_parts(
    stretches: &[ContentRange<'_>],
    list: String,
    blocks: Vec<PlannedBlock>,
) -> Result<Plan, StorageError> {
    let mut used: BTreeMap<&Base, Used<'_>> = BTreeMap::new();
    for (part, _) in stretches.iter().flat_map(ContentRange::pieces) {
        let used = used.entry(&part.multipart.base).or_insert_with(|| Used { parts: BTreeMap::new() });
        used.parts.insert(part.number, part);
    }
    let mut places = BTreeMap::new();
    let mut end = 0;
    for (base, used) in &used {
        places.extend(used.starts(end).into_iter().map(|(number, start)| ((*base, number), start)));
        end += used.size();
    }
    let place = |(part, extent): (&StoredPart, Extent)| {
        let start = places.get(&(&part.multipart.base, part.number))?;
        Some(Extent { offset: start + extent.offset, length: extent.length })
    };
    let extents = extents::merge(stretches.iter().flat_map(ContentRange::pieces).filter_map(place));
    let size_bytes = extents.iter().try_fold(0_u64, |sum, extent| sum.checked_add(extent.length));
    let size_bytes = size_bytes.ok_or_else(|| StorageError::Invalid("the object is too large".to_owned()))?;
    let first = used.keys().next().map(|base| (*base).clone()).ok_or(StorageError::NotFound)?;
    let is_plain = used.len() == 1 && extents == [Extent { offset: 0, length: end }];
    let data = used
        .iter()
        .map(|(base, used)| DataObject { base: base.as_str().to_owned(), size_bytes: used.size() });
    let manifest = (!is_plain).then(|| Manifest::new(data.collect(), &extents, size_bytes));
    let named = if is_plain { Named::Plain(first) } else { Named::Segmented(first) };
    let multiparts = used.iter().map(|(base, used)| planned(base, used)).collect();
    Ok(Plan {
        object: named.name()?.to_string(),
        size_bytes,
        list,
        multiparts,
        manifest,
        digest: None,
        blocks,
    })
}

fn planned(base: &Base, used: &Used<'_>) -> PlannedMultipart {
    let id = used.parts.values().next().map(|part| part.multipart.id.clone()).unwrap_or_default();
    let parts = used.parts.values().map(|part| (part.number, part.tag.clone())).collect();
    PlannedMultipart { base: base.as_str().to_owned(), id, size_bytes: used.size(), parts }
}

/// Makes the plan for content that is stored as one object.
pub(super) fn of_object(
    base: &Base,
    size_bytes: u64,
    list: String,
    blocks: Vec<PlannedBlock>,
) -> Result<Plan, StorageError> {
    let object = Named::Plain(base.clone()).name()?.to_string();
    Ok(Plan { object, size_bytes, list, multiparts: Vec::new(), manifest: None, digest: None, blocks })
}

impl PlannedMultipart {
    /// Returns the parts for [`Bucket::complete`](crate::bucket::Bucket::complete).
    pub(super) fn parts(&self) -> Vec<Part> {
        self.parts.iter().map(|(number, tag)| Part { number: *number, tag: tag.clone() }).collect()
    }
}

/// Returns the SHA-256 of a block list.
pub(super) fn fingerprint(ids: &[BlockId]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for id in ids {
        context.update(&(id.as_str().len() as u64).to_le_bytes());
        context.update(id.as_str().as_bytes());
    }
    hex::encode(context.finish())
}
