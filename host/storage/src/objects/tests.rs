#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crash;
pub(crate) mod fixture;
mod memory;
mod memory_bucket;
mod order;
mod parts;
mod replicas;
mod streaming;
mod tenants;

use std::{sync::Arc, time::Duration};

use self::{fixture::small, memory_bucket::MemoryBucket};
use super::{ObjectSettings, ObjectStorage, part_size};
use crate::{BlockId, Storage, UploadName, bucket::Bucket, conformance};

/// As in production: most of the suite's blocks are smaller than a part.
mod with_real_sizes {
    use super::{ObjectSettings, fixture::ObjectFixture, memory_bucket::MemoryBucket, part_size};

    crate::conformance::storage_conformance!(ObjectFixture::new(
        MemoryBucket::new(part_size::MIN_PART_BYTES, 10_000),
        ObjectSettings::new(64 << 20),
    ));
}

/// Parts so small, and so few of them, that the suite's blocks become parts of several multiparts.
mod with_small_parts {
    use super::{fixture::ObjectFixture, memory_bucket::MemoryBucket, small};

    crate::conformance::storage_conformance!(ObjectFixture::new(
        MemoryBucket::with_pages(10_000, 40, 37),
        small(),
    ));
}

/// The same as a tenant, and several beside each other.
mod of_a_tenant {
    use super::{fixture::ObjectFixture, memory_bucket::MemoryBucket, small};
    use crate::conformance::OfATenant;

    crate::conformance::storage_conformance!(
        OfATenant::new(ObjectFixture::new(MemoryBucket::with_pages(10_000, 40, 37), small())).await
    );
}

mod of_tenants {
    use super::{fixture::ObjectFixture, memory_bucket::MemoryBucket, small};

    crate::conformance::tenants_conformance!(ObjectFixture::new(
        MemoryBucket::with_pages(10_000, 40, 37),
        small(),
    ));
}

/// The smallest part of the buckets here.
const MIN: u64 = 10_000;

fn bucket() -> Arc<MemoryBucket> {
    MemoryBucket::new(MIN, 10_000)
}

fn storage(bucket: &Arc<MemoryBucket>) -> ObjectStorage {
    open(bucket.clone(), &small())
}

fn open(bucket: Arc<dyn Bucket>, settings: &ObjectSettings) -> ObjectStorage {
    ObjectStorage::open(bucket, settings).unwrap()
}

/// Settings under which nothing is spilled by the clock.
fn patient() -> ObjectSettings {
    ObjectSettings { spill_after: Duration::from_secs(3600), ..small() }
}

/// The id that `@actions/cache` gives a block.
pub(crate) fn toolkit_id(index: usize) -> BlockId {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let text = format!("fbe07c00-f45e-4b11-9cb4-1e84afedb4e0{index:012}");
    BlockId::parse(BASE64_STANDARD.encode(text)).unwrap()
}

async fn put(storage: &ObjectStorage, upload: &UploadName, id: &BlockId, bytes: &[u8]) {
    let stored = storage.put_block(upload, id, conformance::whole(bytes)).await.unwrap();
    assert_eq!(stored, bytes.len() as u64);
}

/// Commits, and checks the content. Returns whether the object is one piece in the bucket.
async fn commits_to(storage: &ObjectStorage, upload: &UploadName, list: &[BlockId], expected: &[u8]) -> bool {
    let stored = storage.commit(upload, list).await.unwrap();
    assert_eq!(stored.size_bytes, expected.len() as u64);
    conformance::assert_content(storage, &stored.object, expected).await;
    let url = storage.presign(&stored.object, stored.size_bytes, Duration::from_secs(1)).await.unwrap();
    assert_eq!(url.is_some(), stored.object.as_str().starts_with("p-"));
    url.is_some()
}
