//! Lists objects, and multipart uploads by their parts.

use gcloud_storage::http::objects::{
    Object,
    list::{ListObjectsRequest, ListObjectsResponse},
};

use super::{
    GcsBucket,
    parts::{PARTS, parse_name},
};
use crate::{
    StorageError,
    bucket::{BucketPage, ListedKey, OpenMultipart, split_folder},
};

/// Largest page (the service's limit).
const PAGE: i32 = 1000;
/// `x!` is the first name after `x`: no key has a byte below `-`.
const AFTER: char = '!';
/// The byte after `/`: `x0` comes after all names that begin with `x/`.
const AFTER_FOLDER: char = '0';

impl GcsBucket {
    /// Lists objects. The cursor is a name, so it stays valid when objects are removed.
    pub(super) async fn list_keys(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<ListedKey>, StorageError> {
        let found = self.list_names(prefix, from).await?;
        let more = found.next_page_token.is_some();
        let objects = found.items.unwrap_or_default();
        let last = objects.last().and_then(|object| object.name.strip_prefix(&self.key_prefix));
        let next = last.filter(|_| more).map(|last| format!("{last}{AFTER}"));
        let items = objects.iter().filter_map(|object| {
            let key = object.name.strip_prefix(&self.key_prefix)?;
            let size_bytes = u64::try_from(object.size).unwrap_or_default();
            let listed = ListedKey { key: key.to_owned(), size_bytes, modified_ms: made_ms(object) };
            (!split_folder(key).1.starts_with(PARTS)).then_some(listed)
        });
        Ok(BucketPage { items: items.collect(), next })
    }

    /// Lists multipart uploads, each once: the next page begins after the last part of the last
    /// one.
    pub(super) async fn list_open(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        let (folder, rest) = split_folder(prefix);
        let found = self.list_names(&format!("{folder}{PARTS}{rest}"), from).await?;
        let more = found.next_page_token.is_some();
        let objects = found.items.unwrap_or_default();
        // If no name is of a part, the page ends after its last name.
        let last = objects.last().and_then(|object| object.name.strip_prefix(&self.key_prefix));
        let mut next = last.map(|last| format!("{last}{AFTER}"));
        let mut items: Vec<OpenMultipart> = Vec::new();
        for object in objects {
            let Some(name) = object.name.strip_prefix(&self.key_prefix) else { continue };
            let Some((key, id)) = parse_name(name) else { continue };
            let begun_ms = made_ms(&object);
            match items.last_mut() {
                Some(last) if last.key == key && last.id == id => last.begun_ms = last.begun_ms.min(begun_ms),
                _ => items.push(OpenMultipart { key, id: id.to_owned(), begun_ms }),
            }
        }
        if let Some(last) = items.last() {
            let (folder, key) = split_folder(&last.key);
            next = Some(format!("{folder}{PARTS}{key}/{}{AFTER_FOLDER}", last.id));
        }
        Ok(BucketPage { items, next: next.filter(|_| more) })
    }

    async fn list_names(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<ListObjectsResponse, StorageError> {
        let request = ListObjectsRequest {
            bucket: self.bucket.clone(),
            prefix: Some(self.full(prefix)),
            start_offset: from.map(|from| self.full(from)),
            max_results: Some(PAGE),
            ..ListObjectsRequest::default()
        };
        self.calls.list(request).await
    }
}

/// When an object was created, in milliseconds since 1970.
fn made_ms(object: &Object) -> u64 {
    let made = object.time_created.or(object.updated);
    made.map_or(0, |made| u64::try_from(made.unix_timestamp_nanos() / 1_000_000).unwrap_or_default())
}
