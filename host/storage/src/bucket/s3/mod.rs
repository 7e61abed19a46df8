//! A bucket of Amazon S3, or of a service with the same protocol.
//!
//! `client` makes the SDK's clients, over `http_client`; `errors` maps its errors, `body` streams
//! bytes. [`connect`] makes the bucket; only `objects/` uses it.

mod body;
mod client;
mod errors;
mod http_client;
mod settings;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    presigning::PresigningConfig,
    types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier},
};
use bytes::Bytes;

pub use self::settings::S3Settings;
use self::{body::ReadTimeouts, errors::Rejection};
use super::{Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces, stall::StallDetector};
use crate::{Content, StorageError};

/// Limits of the service: parts of at least 5 MiB, except for the last, numbered from 1 to 10,000.
const LIMITS: PartLimits = PartLimits { min_bytes: 5 << 20, max_number: 10_000 };

/// Largest body of one request, in bytes.
const SEND_LIMIT: u64 = 5 << 30;

/// Items per page of a listing.
const PAGE: i32 = 1000;

/// Up to this size a body is sent by the metadata client. The records of an upload are smaller.
const SMALL_BYTES: i64 = 64 << 10;

/// Separates the fields of a cursor. No key contains it.
const SEPARATOR: char = ' ';

/// A bucket.
struct S3Bucket {
    /// For large bodies, and requests that the service may work on for long.
    client: Client,
    /// For all other requests, with short timeouts.
    metadata_client: Client,
    bucket: String,
    /// Prefix of all keys.
    prefix: String,
    timeouts: ReadTimeouts,
    settings: S3Settings,
}

/// Makes a bucket of the settings, without a request; see [`Bucket::check`].
///
/// # Errors
/// When the settings are invalid.
pub async fn connect(settings: &S3Settings) -> Result<Arc<dyn Bucket>, StorageError> {
    let client = client::client(settings).await?;
    let metadata_client = client::metadata_client(&client, settings);
    Ok(Arc::new(S3Bucket::over(client, metadata_client, settings.clone())))
}

impl S3Bucket {
    fn over(client: Client, metadata_client: Client, settings: S3Settings) -> Self {
        let timeouts = ReadTimeouts { idle_timeout: settings.idle_timeout };
        let (bucket, prefix) = (settings.bucket.clone(), settings.prefix.clone());
        Self { client, metadata_client, bucket, prefix, timeouts, settings }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn without_prefix(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.prefix).map(str::to_owned)
    }

    /// Returns the client whose timeouts suit a body of this size.
    fn client_for(&self, pieces: &Pieces) -> &Client {
        if body::length(pieces) <= SMALL_BYTES { &self.metadata_client } else { &self.client }
    }

    async fn remove_one(&self, key: &str) -> Result<(), StorageError> {
        let removed = self.client.delete_object().bucket(&self.bucket).key(self.key(key)).send().await;
        removed
            .map(drop)
            .or_else(|error| errors::ignore_not_found(errors::failed("deleting an object", error)))
    }

    /// Deletes up to a thousand keys with one request. `false`: the service does not support it.
    async fn remove_together(&self, keys: &[String]) -> Result<bool, StorageError> {
        const CONTEXT: &str = "deleting objects";
        let object = |key: &String| ObjectIdentifier::builder().key(self.key(key)).build();
        let objects = keys.iter().map(object).collect::<Result<Vec<_>, _>>();
        let delete =
            objects.and_then(|objects| Delete::builder().quiet(true).set_objects(Some(objects)).build());
        let delete = delete.map_err(|error| StorageError::unavailable(CONTEXT, error))?;
        let response = match self.client.delete_objects().bucket(&self.bucket).delete(delete).send().await {
            Ok(response) => response,
            Err(error) if Rejection::of(&error).is_unsupported() => return Ok(false),
            Err(error) => return Err(errors::failed(CONTEXT, error)),
        };
        match response.errors().iter().find(|error| !errors::is_gone(error.code())) {
            None => Ok(true),
            Some(error) => {
                Err(StorageError::unavailable(CONTEXT, errors::describe(error.code(), error.message())))
            }
        }
    }
}

#[async_trait]
impl Bucket for S3Bucket {
    fn part_limits(&self) -> PartLimits {
        LIMITS
    }

    fn with_own_connections(&self) -> Result<Option<Arc<dyn Bucket>>, StorageError> {
        let client = client::over_own_connections(&self.client, &self.settings)?;
        let metadata_client = client::metadata_client(&client, &self.settings);
        Ok(Some(Arc::new(Self::over(client, metadata_client, self.settings.clone()))))
    }

    async fn check(&self) -> Result<(), StorageError> {
        let response = self.metadata_client.head_bucket().bucket(&self.bucket).send().await;
        response.map_err(|error| errors::unusable(&self.bucket, &error))?;
        // A key that may read but not write would otherwise fail only at the first save.
        let probe = format!("_check/{}", uuid::Uuid::new_v4().simple());
        self.put(&probe, vec![Bytes::from_static(b"larder")]).await?;
        self.remove(&[probe]).await
    }

    async fn head(&self, key: &str) -> Result<u64, StorageError> {
        let response =
            self.metadata_client.head_object().bucket(&self.bucket).key(self.key(key)).send().await;
        let response = response.map_err(|error| errors::failed("looking for an object", error))?;
        Ok(length(response.content_length()))
    }

    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        let wanted = range.as_ref().map_or(size_bytes, |range| range.end - range.start);
        let header = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let get = self
            .metadata_client
            .get_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .set_range(header.clone());
        let response = get.send().await.map_err(|error| errors::failed("reading an object", error))?;
        let total = match (response.content_range(), header) {
            (Some(range), _) => body::total_of(range),
            (None, None) => Some(length(response.content_length())),
            // The service ignored the range and returned the whole object.
            (None, Some(_)) => {
                return Err(StorageError::unavailable("reading an object", "the service ignored the range"));
            }
        };
        if total != Some(size_bytes) {
            return Err(StorageError::NotFound);
        }
        Ok(body::content(response.body, wanted, self.timeouts))
    }

    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError> {
        let get = self.metadata_client.get_object().bucket(&self.bucket).key(self.key(key));
        let response = get.send().await.map_err(|error| errors::failed("reading an object", error))?;
        let size_bytes = length(response.content_length());
        if size_bytes > limit {
            return Err(StorageError::Invalid("the object is too large to be read into memory".to_owned()));
        }
        body::whole(body::content(response.body, size_bytes, self.timeouts)).await
    }

    async fn put(&self, key: &str, pieces: Pieces) -> Result<(), StorageError> {
        const CONTEXT: &str = "storing an object";
        let put = self.client_for(&pieces).put_object().bucket(&self.bucket).key(self.key(key));
        let put = put.content_length(body::length(&pieces));
        let stall = StallDetector::new(self.timeouts.stall_timeouts());
        let response =
            stall.run(CONTEXT, Box::pin(put.body(body::from_memory(pieces, &stall)).send())).await?;
        response.map(drop).map_err(|error| errors::failed(CONTEXT, error))
    }

    fn send_limit(&self) -> Option<u64> {
        Some(SEND_LIMIT)
    }

    async fn send(&self, key: &str, content: Content) -> Result<(), StorageError> {
        const CONTEXT: &str = "storing an object";
        let stall = StallDetector::new(self.timeouts.stall_timeouts());
        let put = self.client.put_object().bucket(&self.bucket).key(self.key(key));
        let put = put.content_length(body::sdk_length(content.length)).body(body::streamed(content, &stall));
        let request = put.customize().config_override(client::no_timeouts()).send();
        let response = stall.run(CONTEXT, Box::pin(request)).await?;
        response.map(drop).map_err(|error| errors::failed(CONTEXT, error))
    }

    async fn send_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        const CONTEXT: &str = "storing a part";
        let stall = StallDetector::new(self.timeouts.stall_timeouts());
        let put = self.client.upload_part().bucket(&self.bucket).key(self.key(key)).upload_id(multipart);
        let put = put.part_number(number.cast_signed()).content_length(body::sdk_length(content.length));
        let put = put.body(body::streamed(content, &stall)).customize();
        let response =
            stall.run(CONTEXT, Box::pin(put.config_override(client::no_timeouts()).send())).await?;
        stored(number, response.map_err(|error| errors::failed(CONTEXT, error))?.e_tag())
    }

    async fn put_new(&self, key: &str, pieces: Pieces) -> Result<bool, StorageError> {
        let put =
            self.client_for(&pieces).put_object().bucket(&self.bucket).key(self.key(key)).if_none_match("*");
        let again = pieces.clone();
        let put = put.content_length(body::length(&pieces));
        let stall = StallDetector::new(self.timeouts.stall_timeouts());
        let put = put.body(body::from_memory(pieces, &stall)).send();
        match stall.run("storing an object", Box::pin(put)).await? {
            Ok(_) => Ok(true),
            Err(error) => match Rejection::of(&error) {
                failure if failure.is_taken() => Ok(false),
                // A concurrent request: the service asks for a retry. By then the object exists.
                failure if failure.is_conflict() => match self.head(key).await {
                    Ok(_) => Ok(false),
                    Err(_) => Err(errors::failed("storing an object", error)),
                },
                // The service does not support conditional requests.
                failure if failure.is_unsupported() => match self.head(key).await {
                    Ok(_) => Ok(false),
                    Err(StorageError::NotFound) => self.put(key, again).await.map(|()| true),
                    Err(error) => Err(error),
                },
                _ => Err(errors::failed("storing an object", error)),
            },
        }
    }

    async fn remove(&self, keys: &[String]) -> Result<(), StorageError> {
        for keys in keys.chunks(PAGE as usize) {
            if let [key] = keys {
                self.remove_one(key).await?;
            } else if !self.remove_together(keys).await? {
                for key in keys {
                    self.remove_one(key).await?;
                }
            }
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError> {
        let list = self
            .metadata_client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.key(prefix))
            .max_keys(PAGE);
        let response = list.set_start_after(from.map(|from| self.key(from))).send().await;
        let response = response.map_err(|error| errors::failed("listing objects", error))?;
        let listed = |object: &aws_sdk_s3::types::Object| {
            Some(ListedKey {
                key: self.without_prefix(object.key()?)?,
                size_bytes: length(object.size()),
                modified_ms: milliseconds(object.last_modified()),
            })
        };
        let items: Vec<ListedKey> = response.contents().iter().filter_map(listed).collect();
        let is_last = response.is_truncated() != Some(true);
        let next = items.last().filter(|_| !is_last).map(|item| item.key.clone());
        Ok(BucketPage { items, next })
    }

    async fn begin(&self, key: &str) -> Result<String, StorageError> {
        let begin = self.metadata_client.create_multipart_upload().bucket(&self.bucket).key(self.key(key));
        let response =
            begin.send().await.map_err(|error| errors::failed("beginning a multipart upload", error))?;
        let id = response.upload_id().map(str::to_owned);
        id.ok_or_else(|| {
            StorageError::unavailable("beginning a multipart upload", "the response has no upload id")
        })
    }

    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        pieces: Pieces,
    ) -> Result<Part, StorageError> {
        const CONTEXT: &str = "storing a part";
        let put = self.client.upload_part().bucket(&self.bucket).key(self.key(key)).upload_id(multipart);
        let put = put.part_number(number.cast_signed()).content_length(body::length(&pieces));
        let stall = StallDetector::new(self.timeouts.stall_timeouts());
        let response =
            stall.run(CONTEXT, Box::pin(put.body(body::from_memory(pieces, &stall)).send())).await?;
        stored(number, response.map_err(|error| errors::failed(CONTEXT, error))?.e_tag())
    }

    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError> {
        let completed = |part: &Part| {
            CompletedPart::builder().part_number(part.number.cast_signed()).e_tag(&part.tag).build()
        };
        let parts = parts.iter().map(completed).collect();
        let complete = self.client.complete_multipart_upload().bucket(&self.bucket).key(self.key(key));
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let response = complete.upload_id(multipart).multipart_upload(list).send().await;
        response.map(drop).map_err(|error| errors::failed("completing a multipart upload", error))
    }

    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(self.key(key));
        let response = abort.upload_id(multipart).send().await;
        response
            .map(drop)
            .or_else(|error| errors::ignore_not_found(errors::failed("aborting a multipart upload", error)))
    }

    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        let list =
            self.metadata_client.list_multipart_uploads().bucket(&self.bucket).prefix(self.key(prefix));
        let (key, id) = from.and_then(|from| from.split_once(SEPARATOR)).unzip();
        let list =
            list.set_key_marker(key.map(|key| self.key(key))).set_upload_id_marker(id.map(str::to_owned));
        let response = list.max_uploads(PAGE).send().await;
        let response = response.map_err(|error| errors::failed("listing multipart uploads", error))?;
        let open = |multipart: &aws_sdk_s3::types::MultipartUpload| {
            Some(OpenMultipart {
                key: self.without_prefix(multipart.key()?)?,
                id: multipart.upload_id()?.to_owned(),
                begun_ms: milliseconds(multipart.initiated()),
            })
        };
        let items = response.uploads().iter().filter_map(open).collect();
        let next = match (response.is_truncated(), response.next_key_marker()) {
            (Some(true), Some(key)) => self
                .without_prefix(key)
                .map(|key| format!("{key}{SEPARATOR}{}", response.next_upload_id_marker().unwrap_or(""))),
            _ => None,
        };
        Ok(BucketPage { items, next })
    }

    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError> {
        const CONTEXT: &str = "signing a URL";
        let config = PresigningConfig::expires_in(lifetime)
            .map_err(|error| StorageError::Invalid(format!("a URL of the storage: {error}")))?;
        let get = self.metadata_client.get_object().bucket(&self.bucket).key(self.key(key));
        let signed = get.presigned(config).await.map_err(|error| errors::failed(CONTEXT, error))?;
        Ok(Some(signed.uri().to_owned()))
    }
}

fn stored(number: u32, tag: Option<&str>) -> Result<Part, StorageError> {
    let tag = tag.ok_or_else(|| StorageError::unavailable("storing a part", "the response has no ETag"))?;
    Ok(Part { number, tag: tag.to_owned() })
}

fn length(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

fn milliseconds(time: Option<&aws_sdk_s3::primitives::DateTime>) -> u64 {
    time.and_then(|time| u64::try_from(time.to_millis().ok()?).ok()).unwrap_or(0)
}
