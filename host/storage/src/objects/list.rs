//! Lists objects and uploads, and discards uploads.
//!
//! An object, or an upload, may have several consecutive keys. The last one of a page is held back
//! until the next page shows whether it has more; the cursor contains it.

use std::collections::HashSet;

use super::{
    Shared,
    keys::{self, Base, Named, Role},
    read,
    uploads::Phase,
};
use crate::{
    Listed, ObjectName, Page, StorageError, UploadName,
    bucket::{Bucket, ListedKey},
};

/// Keys per delete request.
const KEYS_PER_REQUEST: usize = 1000;

/// Separates the fields of a cursor. The bucket's own cursor may contain it, so that is the last
/// field.
const SEPARATOR: char = '~';

/// An object whose keys are being listed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    base: Base,
    has_manifest: bool,
    is_owned: bool,
    modified_ms: u64,
    size_bytes: u64,
}

impl Pending {
    fn new(base: Base) -> Self {
        Self { base, has_manifest: false, is_owned: false, modified_ms: 0, size_bytes: 0 }
    }

    fn add(&mut self, role: Role, modified_ms: u64, size_bytes: u64) {
        self.has_manifest |= role == Role::Manifest;
        self.is_owned |= role == Role::Owned;
        self.modified_ms = self.modified_ms.max(modified_ms);
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
    }

    /// Returns the object; `None` if this is only data of another one.
    fn finish(self) -> Result<Option<Listed<ObjectName>>, StorageError> {
        let Self { base, has_manifest, is_owned, modified_ms, size_bytes } = self;
        let named = match (has_manifest, is_owned) {
            (true, _) => Named::Segmented(base),
            (false, true) => return Ok(None),
            (false, false) => Named::Plain(base),
        };
        Ok(Some(Listed { name: named.name()?, modified_ms, size_bytes }))
    }

    fn to_cursor(&self) -> String {
        let Self { base, has_manifest, is_owned, modified_ms, size_bytes } = self;
        format!(
            "{},{},{},{modified_ms},{size_bytes}",
            base.as_str(),
            u8::from(*has_manifest),
            u8::from(*is_owned)
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(',');
        let base = Base::parse(fields.next()?)?;
        let mut flag = || Some(fields.next()? == "1");
        let (has_manifest, is_owned) = (flag()?, flag()?);
        let mut number = || fields.next()?.parse().ok();
        Some(Self { base, has_manifest, is_owned, modified_ms: number()?, size_bytes: number()? })
    }
}

/// Returns a page of objects.
pub(super) async fn objects(shared: &Shared, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
    let (mut pending, from) = match from.map(|cursor| cursor.split_once(SEPARATOR).ok_or_else(bad_cursor)) {
        None => (None, None),
        Some(cursor) => {
            let (pending, from) = cursor?;
            let pending = match pending {
                "" => None,
                text => Some(Pending::parse(text).ok_or_else(bad_cursor)?),
            };
            (pending, Some(from))
        }
    };
    let page = shared.bucket.list(keys::OBJECTS, from).await?;
    let mut items = Vec::new();
    for ListedKey { key, modified_ms, size_bytes } in page.items {
        let Some((base, role)) = keys::parse_object_key(&key) else { continue };
        if pending.as_ref().is_some_and(|pending| pending.base != base)
            && let Some(complete) = pending.take()
        {
            items.extend(complete.finish()?);
        }
        pending.get_or_insert_with(|| Pending::new(base)).add(role, modified_ms, size_bytes);
    }
    let next = match page.next {
        Some(next) => {
            let pending = pending.as_ref().map(Pending::to_cursor).unwrap_or_default();
            Some(format!("{pending}{SEPARATOR}{next}"))
        }
        None => {
            items.extend(pending.map(Pending::finish).transpose()?.flatten());
            None
        }
    };
    Ok(Page { items, next })
}

/// Returns a page of uploads: first those with keys, then those with nothing but an open multipart
/// upload.
pub(super) async fn uploads(shared: &Shared, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
    let mut fields = from.map(|cursor| cursor.splitn(3, SEPARATOR));
    let mut field = || fields.as_mut().map(Iterator::next);
    match field() {
        None => staged(shared, None, None).await,
        Some(Some("s")) => {
            let last = field().flatten().ok_or_else(bad_cursor)?;
            staged(shared, Some(parse_upload(last).ok_or_else(bad_cursor)?), field().flatten()).await
        }
        Some(Some("m")) => match field().flatten() {
            Some("") => multiparts(shared, None).await,
            Some("from") => multiparts(shared, field().flatten()).await,
            Some(_) | None => Err(bad_cursor()),
        },
        Some(Some(_) | None) => Err(bad_cursor()),
    }
}

/// Reads an upload of a cursor.
fn parse_upload(text: &str) -> Option<Listed<UploadName>> {
    let mut fields = text.split(',');
    let name = UploadName::parse(fields.next()?).ok()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Listed { name, modified_ms: number()?, size_bytes: number()? })
}

async fn staged(
    shared: &Shared,
    mut pending: Option<Listed<UploadName>>,
    from: Option<&str>,
) -> Result<Page<UploadName>, StorageError> {
    let page = shared.bucket.list(keys::UPLOADS, from).await?;
    let mut items = Vec::new();
    for ListedKey { key, modified_ms, size_bytes } in page.items {
        let Some(name) = keys::upload_of(&key) else { continue };
        if pending.as_ref().is_some_and(|pending| pending.name != name) {
            items.extend(pending.take());
        }
        let pending = pending.get_or_insert(Listed { name, modified_ms, size_bytes: 0 });
        pending.modified_ms = pending.modified_ms.max(modified_ms);
        pending.size_bytes = pending.size_bytes.saturating_add(size_bytes);
    }
    let next = match (page.next, &pending) {
        (Some(next), Some(Listed { name, modified_ms, size_bytes })) => {
            format!("s{SEPARATOR}{name},{modified_ms},{size_bytes}{SEPARATOR}{next}")
        }
        // Only keys of other kinds so far.
        (Some(next), None) => return Box::pin(staged(shared, None, Some(&next))).await,
        (None, _) => {
            items.extend(pending);
            format!("m{SEPARATOR}")
        }
    };
    Ok(Page { items, next: Some(next) })
}

async fn multiparts(shared: &Shared, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
    let page = shared.bucket.list_multiparts(keys::OBJECTS, from).await?;
    let mut items: Vec<Listed<UploadName>> = Vec::new();
    for multipart in page.items {
        let Some(name) = keys::parse_object_key(&multipart.key).and_then(|(base, _)| base.upload()) else {
            continue;
        };
        let is_known = items.iter().any(|item| item.name == name);
        // Uploads with keys have been listed before.
        if !is_known && shared.bucket.list(&keys::upload_prefix(&name), None).await?.items.is_empty() {
            items.push(Listed { name, modified_ms: multipart.begun_ms, size_bytes: 0 });
        }
    }
    Ok(Page { items, next: page.next.map(|next| format!("m{SEPARATOR}from{SEPARATOR}{next}")) })
}

/// Deletes everything of an upload. Waiters start over with a new session.
pub(super) async fn discard(shared: &Shared, name: &UploadName) -> Result<(), StorageError> {
    let upload = shared.uploads.get(name);
    let _gate = upload.gate.write().await;
    if let Some(session) = upload.session() {
        session.discard().await;
    }
    upload.set_phase(Phase::Discarded);
    shared.uploads.forget(name, &upload);
    // Concurrent writers find that the session is discarded, and delete what they wrote.
    let keys = all_keys(shared, &keys::upload_prefix(name)).await?;
    for keys in keys.chunks(KEYS_PER_REQUEST) {
        shared.bucket.remove(keys).await?;
    }
    abort_all(shared, name).await
}

/// Deletes everything of an upload and of the objects that were made of it, except `kept`. Manifests are
/// deleted last, as by `read::remove`.
pub(super) async fn erase(
    shared: &Shared,
    name: &UploadName,
    kept: Option<&ObjectName>,
) -> Result<(), StorageError> {
    discard(shared, name).await?;
    let kept = match kept {
        Some(kept) => read::keys_of(shared, kept).await?,
        None => Vec::new(),
    };
    let keys = all_keys(shared, &keys::multipart_prefix(name)).await?;
    let is_ours = |key: &String| keys::parse_object_key(key).is_some() && !kept.contains(key);
    let is_manifest =
        |key: &String| keys::parse_object_key(key).is_some_and(|(_, role)| role == Role::Manifest);
    let (manifests, others): (Vec<String>, Vec<String>) =
        keys.into_iter().filter(is_ours).partition(is_manifest);
    for keys in others.chunks(KEYS_PER_REQUEST).chain(manifests.chunks(KEYS_PER_REQUEST)) {
        shared.bucket.remove(keys).await?;
    }
    Ok(())
}

/// Returns the keys that begin with a prefix.
async fn all_keys(shared: &Shared, prefix: &str) -> Result<Vec<String>, StorageError> {
    let mut keys = Vec::new();
    let mut from = None;
    loop {
        let page = shared.bucket.list(prefix, from.as_deref()).await?;
        keys.extend(page.items.into_iter().map(|item| item.key));
        from = page.next;
        if from.is_none() {
            return Ok(keys);
        }
    }
}

/// Returns whether there is neither an object nor an upload, nor anything of one.
pub(super) async fn is_empty(shared: &Shared) -> Result<bool, StorageError> {
    for prefix in [keys::OBJECTS, keys::UPLOADS] {
        if !shared.bucket.list(prefix, None).await?.items.is_empty() {
            return Ok(false);
        }
    }
    Ok(shared.bucket.list_multiparts(keys::OBJECTS, None).await?.items.is_empty())
}

async fn abort_all(shared: &Shared, name: &UploadName) -> Result<(), StorageError> {
    let mut seen = HashSet::new();
    let mut from = None;
    loop {
        let page = shared.bucket.list_multiparts(&keys::multipart_prefix(name), from.as_deref()).await?;
        for multipart in page.items.into_iter().filter(|it| seen.insert((it.key.clone(), it.id.clone()))) {
            shared.bucket.abort(&multipart.key, &multipart.id).await?;
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}

fn bad_cursor() -> StorageError {
    StorageError::Invalid("invalid cursor of a listing".to_owned())
}
