//! Listing objects, and multiparts by their parts.

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
    bucket::{BucketPage, ListedKey, OpenMultipart},
};

/// Most objects on a page (the service's limit).
const PAGE: i32 = 1000;
/// The first name after `x` is not before `x!`: no key has a byte below `-`.
const AFTER: char = '!';
/// Follows `/`: what begins with `x0` comes after all that begins with `x/`.
const AFTER_FOLDER: char = '0';

impl GcsBucket {
    /// Lists objects. A page begins where the last one ended, by name, so it does not matter what was removed meanwhile.
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
            (!key.starts_with(PARTS)).then_some(listed)
        });
        Ok(BucketPage { items: items.collect(), next })
    }

    /// Lists multiparts. Each shows once: the next page begins behind its last part.
    pub(super) async fn list_open(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        let found = self.list_names(&format!("{PARTS}{prefix}"), from).await?;
        let more = found.next_page_token.is_some();
        let objects = found.items.unwrap_or_default();
        // Where the names are not of parts, the page ends behind its last name.
        let last = objects.last().and_then(|object| object.name.strip_prefix(&self.key_prefix));
        let mut next = last.map(|last| format!("{last}{AFTER}"));
        let mut items: Vec<OpenMultipart> = Vec::new();
        for object in objects {
            let name = object.name.strip_prefix(&self.key_prefix).and_then(|name| name.strip_prefix(PARTS));
            let Some((key, id)) = name.and_then(parse_name) else { continue };
            let begun_ms = made_ms(&object);
            match items.last_mut() {
                Some(last) if last.key == key && last.id == id => last.begun_ms = last.begun_ms.min(begun_ms),
                _ => items.push(OpenMultipart { key: key.to_owned(), id: id.to_owned(), begun_ms }),
            }
        }
        if let Some(last) = items.last() {
            next = Some(format!("{PARTS}{}/{}{AFTER_FOLDER}", last.key, last.id));
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

/// When an object was made, in milliseconds since 1970.
fn made_ms(object: &Object) -> u64 {
    let made = object.time_created.or(object.updated);
    made.map_or(0, |made| u64::try_from(made.unix_timestamp_nanos() / 1_000_000).unwrap_or_default())
}
