//! Reads, signs and removes objects.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};

use super::{
    Shared,
    keys::{Base, Named},
    manifest::{DataObject, Manifest, Piece},
    runtime::RuntimeBucket,
};
use crate::{Content, ObjectName, StorageError, bucket::Bucket};

/// Up to this size of all pieces, the next one is requested while one is read. Larger ones are not:
/// a service ends a response that is not read.
const AHEAD_BYTES: u64 = 16 << 20;

/// Pieces within this many bytes are read with one request, into memory.
const WINDOW_BYTES: u64 = 1 << 20;

type Chunks = BoxStream<'static, Result<Bytes, StorageError>>;

/// Returns an object's size. A missing bucket is an error and not [`StorageError::NotFound`],
/// because entries of missing objects are dropped.
pub(super) async fn stat(shared: &Shared, object: &ObjectName) -> Result<u64, StorageError> {
    let named = Named::parse(object).ok_or(StorageError::NotFound)?;
    let (Named::Plain(base) | Named::Segmented(base)) = &named;
    let key = base.data();
    match size(shared, named).await {
        // Some services answer a `HEAD` for a missing bucket like one for a missing object, but not
        // a list.
        Err(StorageError::NotFound) => match shared.bucket.list(&key, None).await {
            Ok(_) => Err(StorageError::NotFound),
            Err(StorageError::NotFound) => {
                Err(StorageError::unavailable("looking for an object", "the bucket does not exist"))
            }
            Err(error) => Err(error),
        },
        result => result,
    }
}

async fn size(shared: &Shared, named: Named) -> Result<u64, StorageError> {
    match named {
        Named::Plain(base) => shared.bucket.head(&base.data()).await,
        Named::Segmented(base) => {
            let manifest = Manifest::read(shared, &base).await?;
            check(shared, &manifest.data).await?;
            Ok(manifest.size_bytes)
        }
    }
}

/// Checks that all data exists and has its size.
async fn check(shared: &Shared, data: &[DataObject]) -> Result<(), StorageError> {
    let check = |data: &DataObject| {
        let (base, size_bytes) = (data.base(), data.size_bytes);
        async move {
            if shared.bucket.head(&base?.data()).await? == size_bytes {
                Ok(())
            } else {
                Err(StorageError::NotFound)
            }
        }
    };
    future::try_join_all(data.iter().map(check)).await.map(drop)
}

/// Opens an object, or a range of it.
pub(super) async fn open(
    shared: &Shared,
    object: &ObjectName,
    size_bytes: u64,
    range: Option<Range<u64>>,
) -> Result<Content, StorageError> {
    let named = Named::parse(object).ok_or(StorageError::NotFound)?;
    if range.as_ref().is_some_and(|range| range.start > range.end || range.end > size_bytes) {
        return Err(StorageError::Invalid("the range is outside the object".to_owned()));
    }
    match named {
        // A range request cannot ask for no bytes.
        _ if range.as_ref().is_some_and(Range::is_empty) || size_bytes == 0 => {
            if stat(shared, object).await? != size_bytes {
                return Err(StorageError::NotFound);
            }
            Ok(Content { length: 0, chunks: stream::empty().boxed() })
        }
        Named::Plain(base) => shared.bucket.get(&base.data(), size_bytes, range).await,
        Named::Segmented(base) => {
            let manifest = Manifest::read(shared, &base).await?;
            if manifest.size_bytes != size_bytes {
                return Err(StorageError::NotFound);
            }
            if let [_, _, ..] = &manifest.data[..] {
                check(shared, &manifest.data).await?;
            }
            pieces(shared, manifest.pieces(&range.unwrap_or(0..size_bytes))?).await
        }
    }
}

/// Pieces that are read with one request: a single one, or several that are near each other.
struct Window {
    key: String,
    /// Size of the whole data object.
    size_bytes: u64,
    range: Range<u64>,
    pieces: Vec<Range<u64>>,
}

impl Window {
    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Adds a piece, if it is near enough.
    fn take(&mut self, piece: &Piece) -> bool {
        let (start, end) = (self.range.start.min(piece.range.start), self.range.end.max(piece.range.end));
        let is_near = self.key == piece.key && end - start <= WINDOW_BYTES;
        if is_near {
            self.range = start..end;
            self.pieces.push(piece.range.clone());
        }
        is_near
    }

    /// Returns the content of the pieces.
    async fn open(self, bucket: &RuntimeBucket) -> Result<Chunks, StorageError> {
        let content = bucket.get(&self.key, self.size_bytes, Some(self.range.clone())).await?;
        if self.pieces.len() == 1 {
            return Ok(content.chunks);
        }
        let all: Vec<Bytes> = content.chunks.try_collect().await?;
        let (all, start) = (Bytes::from(all.concat()), self.range.start);
        let at = |place: u64| usize::try_from(place - start).unwrap_or(usize::MAX).min(all.len());
        let slices: Vec<_> =
            self.pieces.iter().map(|piece| Ok(all.slice(at(piece.start)..at(piece.end)))).collect();
        Ok(stream::iter(slices).boxed())
    }
}

fn windows(pieces: Vec<Piece>) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for piece in pieces {
        if windows.last_mut().is_some_and(|window| window.take(&piece)) {
            continue;
        }
        let Piece { key, size_bytes, range } = piece;
        windows.push(Window { key, size_bytes, range: range.clone(), pieces: vec![range] });
    }
    windows
}

/// Opens pieces, concatenated. The first is opened at once, so that a missing one is an error.
async fn pieces(shared: &Shared, pieces: Vec<Piece>) -> Result<Content, StorageError> {
    let length = pieces.iter().map(|piece| piece.range.end - piece.range.start).sum();
    let windows = windows(pieces);
    let ahead = if windows.iter().all(|window| window.length() <= AHEAD_BYTES) { 2 } else { 1 };
    let bucket = shared.bucket.clone();
    let open = move |window: Window| {
        let bucket = bucket.clone();
        async move { window.open(&bucket).await }
    };
    let mut windows = windows.into_iter();
    let first = open(windows.next().ok_or(StorageError::NotFound)?).await?;
    let rest = stream::iter(windows).map(open).buffered(ahead).try_flatten();
    Ok(Content { length, chunks: until_error(first.chain(rest)).boxed() })
}

/// Ends after the first error, because later bytes would be misplaced.
fn until_error<T, E>(
    stream: impl stream::Stream<Item = Result<T, E>>,
) -> impl stream::Stream<Item = Result<T, E>> {
    stream.scan(false, |has_failed, item| {
        let ends = std::mem::replace(has_failed, item.is_err());
        future::ready((!ends).then_some(item))
    })
}

/// Signs a URL of a plain object.
pub(super) async fn presign(
    shared: &Shared,
    object: &ObjectName,
    size_bytes: u64,
    lifetime: Duration,
) -> Result<Option<String>, StorageError> {
    if stat(shared, object).await? != size_bytes {
        return Err(StorageError::NotFound);
    }
    match Named::parse(object) {
        Some(Named::Plain(base)) => shared.bucket.presign(&base.data(), lifetime).await,
        Some(Named::Segmented(_)) | None => Ok(None),
    }
}

/// Returns all keys of an object: none if there is no such object.
pub(super) async fn keys_of(shared: &Shared, object: &ObjectName) -> Result<Vec<String>, StorageError> {
    let base = match Named::parse(object) {
        None => return Ok(Vec::new()),
        Some(Named::Plain(base)) => return Ok(vec![base.data()]),
        Some(Named::Segmented(base)) => base,
    };
    let manifest = match Manifest::read(shared, &base).await {
        Ok(manifest) => manifest,
        Err(StorageError::NotFound) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut keys = vec![base.manifest()];
    for data in manifest.data.iter().filter_map(|data| data.base().ok()) {
        keys.extend([data.data(), data.owned()]);
    }
    Ok(keys)
}

/// Deletes an object. The manifest is deleted last: until then the object is listed and can be
/// deleted again.
pub(super) async fn remove(shared: &Shared, object: &ObjectName) -> Result<(), StorageError> {
    let base = match Named::parse(object) {
        // A name that this driver did not make.
        None => return Ok(()),
        Some(Named::Plain(base)) => return shared.bucket.remove(&[base.data()]).await,
        Some(Named::Segmented(base)) => base,
    };
    let manifest = match Manifest::read(shared, &base).await {
        Ok(manifest) => manifest,
        Err(StorageError::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    let bases: Vec<Base> = manifest.data.iter().filter_map(|data| data.base().ok()).collect();
    let data = bases.iter().map(Base::data).collect();
    let owned = bases.iter().map(Base::owned).collect();
    for keys in [data, owned, vec![base.manifest()]] {
        shared.bucket.remove(&keys).await?;
    }
    Ok(())
}
