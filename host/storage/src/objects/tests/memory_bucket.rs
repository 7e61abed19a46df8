//! A bucket in memory, with the rules of S3.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use larder_common::clock::Clock;
use parking_lot::Mutex;

use crate::{
    Content, StorageError,
    bucket::{
        Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces,
        stall::{StallDetector, StallTimeouts, UploadBody},
    },
};

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    modified_ms: u64,
}

#[derive(Default)]
struct OpenParts {
    parts: BTreeMap<u32, (String, Bytes)>,
    begun_ms: u64,
}

#[derive(Default)]
struct BucketState {
    objects: BTreeMap<String, Object>,
    multiparts: BTreeMap<(String, String), OpenParts>,
}

pub(super) struct MemoryBucket {
    state: Mutex<BucketState>,
    limits: PartLimits,
    page: usize,
    send_limit: Option<u64>,
    next: AtomicUsize,
    /// Of all bodies that were stored.
    pub(super) written: AtomicU64,
}

impl MemoryBucket {
    pub(super) fn new(min_bytes: u64, max_number: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            limits: PartLimits { min_bytes, max_number },
            page: 1000,
            send_limit: None,
            next: AtomicUsize::new(0),
            written: AtomicU64::new(0),
        })
    }

    /// A bucket with short pages.
    pub(super) fn with_pages(min_bytes: u64, max_number: u32, page: usize) -> Arc<Self> {
        let mut bucket = Self::new(min_bytes, max_number);
        Arc::get_mut(&mut bucket).unwrap().page = page;
        bucket
    }

    /// A bucket with streaming uploads of up to `limit` bytes.
    pub(super) fn that_takes_what_comes(min_bytes: u64, max_number: u32, limit: u64) -> Arc<Self> {
        let mut bucket = Self::new(min_bytes, max_number);
        Arc::get_mut(&mut bucket).unwrap().send_limit = Some(limit);
        bucket
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.state.lock().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub(super) fn open_multiparts(&self) -> usize {
        self.state.lock().multiparts.len()
    }

    fn store(&self, state: &mut BucketState, key: &str, bytes: Bytes) {
        state.objects.insert(key.to_owned(), Object { bytes, modified_ms: Clock::system().now_ms() });
    }

    fn object(&self, key: &str) -> Result<Object, StorageError> {
        self.state.lock().objects.get(key).cloned().ok_or(StorageError::NotFound)
    }

    /// Returns the received bytes, with the same check as for a real service.
    async fn arrived(&self, content: Content) -> Result<Pieces, StorageError> {
        assert!(self.send_limit.is_some_and(|limit| content.length <= limit), "{} bytes", content.length);
        let forever = Duration::from_secs(60);
        let stall = StallDetector::new(StallTimeouts { idle: forever, response: forever });
        let arrived = stall.run("receive", UploadBody::new(content, &stall).collect()).await?;
        Ok(vec![arrived.map_err(|error| StorageError::unavailable("receive", error))?.to_bytes()])
    }

    fn received(&self, body: &Pieces) -> Bytes {
        let bytes = Bytes::from(body.concat());
        self.written.fetch_add(bytes.len() as u64, Relaxed);
        bytes
    }
}

fn page<T>(items: impl Iterator<Item = (String, T)>, from: Option<&str>, size: usize) -> BucketPage<T> {
    let mut items = items.filter(|(key, _)| from.is_none_or(|from| key.as_str() > from)).peekable();
    let mut taken = Vec::new();
    let mut last = None;
    while let Some((key, item)) = items.next_if(|_| taken.len() < size) {
        last = Some(key);
        taken.push(item);
    }
    let next = last.filter(|_| items.peek().is_some());
    BucketPage { items: taken, next }
}

fn refused<T>(why: &str) -> Result<T, StorageError> {
    Err(StorageError::Invalid(format!("the bucket refuses: {why}")))
}

#[async_trait]
impl Bucket for MemoryBucket {
    fn part_limits(&self) -> PartLimits {
        self.limits
    }

    async fn check(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn head(&self, key: &str) -> Result<u64, StorageError> {
        Ok(self.object(key)?.bytes.len() as u64)
    }

    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        let bytes = self.object(key)?.bytes;
        if bytes.len() as u64 != size_bytes {
            return Err(StorageError::NotFound);
        }
        let range = range.unwrap_or(0..size_bytes);
        assert!(range.start < range.end || size_bytes == 0, "there is no request for an empty range");
        let bytes = bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
        let chunks: Vec<_> = bytes.chunks(100_000).map(|chunk| Ok(bytes.slice_ref(chunk))).collect();
        Ok(Content { length: bytes.len() as u64, chunks: stream::iter(chunks).boxed() })
    }

    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError> {
        let bytes = self.object(key)?.bytes;
        if bytes.len() as u64 > limit { refused("larger than the limit") } else { Ok(bytes) }
    }

    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError> {
        let bytes = self.received(&body);
        self.store(&mut self.state.lock(), key, bytes);
        Ok(())
    }

    fn send_limit(&self) -> Option<u64> {
        self.send_limit
    }

    async fn send(&self, key: &str, content: Content) -> Result<(), StorageError> {
        self.put(key, self.arrived(content).await?).await
    }

    async fn send_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        self.put_part(key, multipart, number, self.arrived(content).await?).await
    }

    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError> {
        let bytes = self.received(&body);
        let mut state = self.state.lock();
        if state.objects.contains_key(key) {
            return Ok(false);
        }
        self.store(&mut state, key, bytes);
        Ok(true)
    }

    async fn remove(&self, keys: &[String]) -> Result<(), StorageError> {
        assert!(!keys.is_empty() && keys.len() <= 1000, "one request deletes 1 to 1000 keys");
        let mut state = self.state.lock();
        for key in keys {
            state.objects.remove(key);
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError> {
        let state = self.state.lock();
        let found = state.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, object)| {
            let listed = ListedKey {
                key: key.clone(),
                size_bytes: object.bytes.len() as u64,
                modified_ms: object.modified_ms,
            };
            (key.clone(), listed)
        });
        Ok(page(found, from, self.page))
    }

    async fn begin(&self, key: &str) -> Result<String, StorageError> {
        let id = format!("multipart-{}", self.next.fetch_add(1, Relaxed));
        let begun = OpenParts { begun_ms: Clock::system().now_ms(), ..OpenParts::default() };
        self.state.lock().multiparts.insert((key.to_owned(), id.clone()), begun);
        Ok(id)
    }

    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError> {
        if !(1..=self.limits.max_number).contains(&number) {
            return refused("the number of a part");
        }
        let bytes = self.received(&body);
        let tag = format!("tag-{}", self.next.fetch_add(1, Relaxed));
        // Sending takes a while.
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        let Some(begun) = state.multiparts.get_mut(&(key.to_owned(), multipart.to_owned())) else {
            return Err(StorageError::NotFound);
        };
        begun.parts.insert(number, (tag.clone(), bytes));
        Ok(Part { number, tag })
    }

    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        let place = (key.to_owned(), multipart.to_owned());
        let Some(begun) = state.multiparts.get(&place) else { return Err(StorageError::NotFound) };
        if parts.is_empty() || !parts.is_sorted_by(|one, other| one.number < other.number) {
            return refused("parts that are not in ascending order");
        }
        let mut whole = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            match begun.parts.get(&part.number) {
                Some((tag, bytes)) if *tag == part.tag => {
                    if at + 1 < parts.len() && (bytes.len() as u64) < self.limits.min_bytes {
                        return refused("a part that is too small");
                    }
                    whole.extend_from_slice(bytes);
                }
                Some(_) => return refused("a tag that is stale"),
                None => return refused("a part that is not there"),
            }
        }
        state.multiparts.remove(&place);
        self.store(&mut state, key, whole.into());
        Ok(())
    }

    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        self.state.lock().multiparts.remove(&(key.to_owned(), multipart.to_owned()));
        Ok(())
    }

    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        let state = self.state.lock();
        let found = state.multiparts.iter().filter(|((key, _), _)| key.starts_with(prefix)).map(
            |((key, id), multipart)| {
                let (key, id) = (key.clone(), id.clone());
                (format!("{key} {id}"), OpenMultipart { key, id, begun_ms: multipart.begun_ms })
            },
        );
        Ok(page(found, from, self.page))
    }

    async fn presign(&self, key: &str, _lifetime: Duration) -> Result<Option<String>, StorageError> {
        Ok(Some(format!("memory:{key}")))
    }
}
