//! Finds objects, and reads them.

use std::{ops::Range, time::Duration};

use futures_util::{StreamExt, TryStreamExt, future, stream};

use super::{
    Shared,
    keys::{Base, Named},
    manifest::{Data, Manifest, Piece},
};
use crate::storage::{Content, ObjectName, StorageError, bucket::Bucket};

/// The next piece is asked for while one is read, where no piece is larger: a service ends an answer that nobody reads.
const AHEAD_BYTES: u64 = 16 << 20;

/// Returns an object's size.
pub(super) async fn stat(shared: &Shared, object: &ObjectName) -> Result<u64, StorageError> {
    match Named::parse(object).ok_or(StorageError::NotFound)? {
        Named::Plain(base) => shared.bucket.head(&base.data()).await,
        Named::Segmented(base) => {
            let manifest = Manifest::read(shared, &base).await?;
            check(shared, &manifest.data).await?;
            Ok(manifest.size_bytes)
        }
    }
}

/// Makes sure that data is there and whole.
async fn check(shared: &Shared, data: &[Data]) -> Result<(), StorageError> {
    let check = |data: &Data| {
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

/// Opens an object, or a part of it.
pub(super) async fn open(
    shared: &Shared,
    object: &ObjectName,
    size_bytes: u64,
    range: Option<Range<u64>>,
) -> Result<Content, StorageError> {
    let named = Named::parse(object).ok_or(StorageError::NotFound)?;
    if range.as_ref().is_some_and(|range| range.start > range.end || range.end > size_bytes) {
        return Err(StorageError::Invalid("the range is outside of the object".to_owned()));
    }
    match named {
        // There are no requests for no bytes.
        _ if range.as_ref().is_some_and(Range::is_empty) || size_bytes == 0 => {
            match stat(shared, object).await? == size_bytes {
                true => Ok(Content { length: 0, chunks: stream::empty().boxed() }),
                false => Err(StorageError::NotFound),
            }
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

/// Opens pieces, one behind the other. The first one at once, so that what is gone is known.
async fn pieces(shared: &Shared, pieces: Vec<Piece>) -> Result<Content, StorageError> {
    let length = pieces.iter().map(|piece| piece.range.end - piece.range.start).sum();
    let ahead =
        if pieces.iter().all(|piece| piece.range.end - piece.range.start <= AHEAD_BYTES) { 2 } else { 1 };
    let bucket = shared.bucket.clone();
    let open = move |piece: Piece| {
        let bucket = bucket.clone();
        async move { bucket.get(&piece.key, piece.size_bytes, Some(piece.range)).await }
    };
    let mut pieces = pieces.into_iter();
    let first = open(pieces.next().ok_or(StorageError::NotFound)?).await?;
    let rest = stream::iter(pieces).map(open).buffered(ahead).map_ok(|content| content.chunks).try_flatten();
    Ok(Content { length, chunks: until_error(first.chunks.chain(rest)).boxed() })
}

/// Ends with the first error: what would come behind it is not what belongs there.
fn until_error<T, E>(
    stream: impl stream::Stream<Item = Result<T, E>>,
) -> impl stream::Stream<Item = Result<T, E>> {
    stream.scan(false, |has_failed, item| {
        let ends = std::mem::replace(has_failed, item.is_err());
        future::ready((!ends).then_some(item))
    })
}

/// Returns a URL of an object that is one piece in the bucket.
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

/// Deletes an object. The manifest goes last: as long as it is there, the object is listed and can be deleted again.
pub(super) async fn remove(shared: &Shared, object: &ObjectName) -> Result<(), StorageError> {
    let base = match Named::parse(object) {
        // A name that was not made here names nothing.
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
