//! Lists objects and uploads, and discards uploads.
//!
//! An object, or an upload, may have several consecutive keys. The last one of a page is held back
//! until the next page shows whether it has more; the cursor contains it.

use std::collections::HashSet;

use super::{
    Shared,
    keys::{self, Base, Named, Role},
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
}

impl Pending {
    fn new(base: Base) -> Self {
        Self { base, has_manifest: false, is_owned: false, modified_ms: 0 }
    }

    fn add(&mut self, role: Role, modified_ms: u64) {
        self.has_manifest |= role == Role::Manifest;
        self.is_owned |= role == Role::Owned;
        self.modified_ms = self.modified_ms.max(modified_ms);
    }

    /// Returns the object; `None` if this is only data of another one.
    fn finish(self) -> Result<Option<Listed<ObjectName>>, StorageError> {
        let named = match (self.has_manifest, self.is_owned) {
            (true, _) => Named::Segmented(self.base),
            (false, true) => return Ok(None),
            (false, false) => Named::Plain(self.base),
        };
        Ok(Some(Listed { name: named.name()?, modified_ms: self.modified_ms }))
    }

    fn to_cursor(&self) -> String {
        let Self { base, has_manifest, is_owned, modified_ms } = self;
        format!("{},{},{},{modified_ms}", base.as_str(), u8::from(*has_manifest), u8::from(*is_owned))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(',');
        let base = Base::parse(fields.next()?)?;
        let mut flag = || Some(fields.next()? == "1");
        let (has_manifest, is_owned) = (flag()?, flag()?);
        Some(Self { base, has_manifest, is_owned, modified_ms: fields.next()?.parse().ok()? })
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
    for ListedKey { key, modified_ms, .. } in page.items {
        let Some((base, role)) = keys::parse_object_key(&key) else { continue };
        if pending.as_ref().is_some_and(|pending| pending.base != base)
            && let Some(complete) = pending.take()
        {
            items.extend(complete.finish()?);
        }
        pending.get_or_insert_with(|| Pending::new(base)).add(role, modified_ms);
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
            let (name, modified) = last.split_once(',').ok_or_else(bad_cursor)?;
            let name = UploadName::parse(name).map_err(|_| bad_cursor())?;
            let pending = Listed { name, modified_ms: modified.parse().map_err(|_| bad_cursor())? };
            staged(shared, Some(pending), field().flatten()).await
        }
        Some(Some("m")) => match field().flatten() {
            Some("") => multiparts(shared, None).await,
            Some("from") => multiparts(shared, field().flatten()).await,
            Some(_) | None => Err(bad_cursor()),
        },
        Some(Some(_) | None) => Err(bad_cursor()),
    }
}

async fn staged(
    shared: &Shared,
    mut pending: Option<Listed<UploadName>>,
    from: Option<&str>,
) -> Result<Page<UploadName>, StorageError> {
    let page = shared.bucket.list(keys::UPLOADS, from).await?;
    let mut items = Vec::new();
    for ListedKey { key, modified_ms, .. } in page.items {
        let Some(name) = keys::upload_of(&key) else { continue };
        if pending.as_ref().is_some_and(|pending| pending.name != name) {
            items.extend(pending.take());
        }
        let pending = pending.get_or_insert(Listed { name, modified_ms });
        pending.modified_ms = pending.modified_ms.max(modified_ms);
    }
    let next = match (page.next, &pending) {
        (Some(next), Some(Listed { name, modified_ms })) => {
            format!("s{SEPARATOR}{name},{modified_ms}{SEPARATOR}{next}")
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
            items.push(Listed { name, modified_ms: multipart.begun_ms });
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
    let mut keys = Vec::new();
    let mut from = None;
    loop {
        let page = shared.bucket.list(&keys::upload_prefix(name), from.as_deref()).await?;
        keys.extend(page.items.into_iter().map(|item| item.key));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    for keys in keys.chunks(KEYS_PER_REQUEST) {
        shared.bucket.remove(keys).await?;
    }
    abort_all(shared, name).await
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
