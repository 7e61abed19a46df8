//! Multipart uploads, by composition.
//!
//! A part is an object `_parts/<key>/<multipart>/<number>`, below the folder of its tenant; no key of
//! an object begins so. Its tag
//! has its checksum and size, so the composed object can be checked against its parts without
//! reading it. Abandoned parts are found by listing `_parts/`.

use futures_util::{StreamExt, TryStreamExt, stream};
use gcloud_storage::http::objects::{
    SourceObjects,
    compose::{ComposeObjectRequest, ComposingTargets},
    get::GetObjectRequest,
    list::ListObjectsRequest,
};

use super::{
    GcsBucket,
    calls::{Sum, UploadOutcome},
};
use crate::{
    Content, StorageError,
    bucket::{Part, Pieces, split_folder},
};

/// Largest part number. The service has no such limit: four rounds of composition would allow a
/// million.
pub(super) const MAX_NUMBER: u32 = 10_000;
/// Prefix of the names of parts. `_` is in no key.
pub(super) const PARTS: &str = "_parts/";
/// Most sources of one composition (the service's limit).
const MAX_SOURCES: usize = 32;
/// Concurrent compositions for one object.
const COMPOSITIONS_AT_ONCE: usize = 8;

/// A source of a composition.
#[derive(Clone, Debug)]
struct ComposeSource {
    name: String,
    sum: Sum,
}

/// Makes the id of a multipart upload: 32 hexadecimal digits.
pub(super) fn new_multipart() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn tag(sum: Sum) -> String {
    format!("{:08x}-{}", sum.crc, sum.size_bytes)
}

fn parse_tag(tag: &str) -> Option<Sum> {
    let (crc, size) = tag.split_once('-')?;
    Some(Sum { crc: u32::from_str_radix(crc, 16).ok()?, size_bytes: size.parse().ok()? })
}

/// Parses the key and the multipart id from a part's name.
pub(super) fn parse_name(name: &str) -> Option<(String, &str)> {
    let (folder, name) = split_folder(name);
    let (of_multipart, _number) = name.strip_prefix(PARTS)?.rsplit_once('/')?;
    let (key, multipart) = of_multipart.rsplit_once('/')?;
    Some((format!("{folder}{key}"), multipart))
}

impl GcsBucket {
    /// Prefix of the full names of a multipart upload's parts.
    fn parts_folder(&self, key: &str, multipart: &str) -> Result<String, StorageError> {
        let form = multipart.len() == 32 && multipart.bytes().all(|b| b.is_ascii_hexdigit());
        let (folder, key) = split_folder(key);
        if form {
            Ok(self.full(&format!("{folder}{PARTS}{key}/{multipart}/")))
        } else {
            Err(StorageError::NotFound)
        }
    }

    pub(super) async fn upload_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: &Pieces,
    ) -> Result<Part, StorageError> {
        let name = format!("{}{number:05}", self.parts_folder(key, multipart)?);
        match self.calls.upload(&self.bucket, name, body, false).await? {
            UploadOutcome::Now(sum) => Ok(Part { number, tag: tag(sum) }),
            UploadOutcome::Exists => Err(StorageError::Invalid(format!("part {number} exists"))),
        }
    }

    pub(super) async fn send_as_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        let name = format!("{}{number:05}", self.parts_folder(key, multipart)?);
        let sum = self.calls.send(&self.endpoint, &self.bucket, name, content).await?;
        Ok(Part { number, tag: tag(sum) })
    }

    /// Composes the object, in as many rounds as needed.
    pub(super) async fn compose_parts(
        &self,
        key: &str,
        multipart: &str,
        parts: &[Part],
    ) -> Result<(), StorageError> {
        let folder = self.parts_folder(key, multipart)?;
        match self.compose_all(key, &folder, parts).await {
            Err(StorageError::Unavailable { .. }) if self.is_dropped(&folder, parts).await => {
                Err(StorageError::NotFound)
            }
            outcome => outcome,
        }
    }

    async fn compose_all(&self, key: &str, folder: &str, parts: &[Part]) -> Result<(), StorageError> {
        let mut level = Vec::with_capacity(parts.len());
        for part in parts {
            let sum = parse_tag(&part.tag).ok_or_else(|| {
                StorageError::Invalid(format!("part {} has no tag of this bucket", part.number))
            })?;
            level.push(ComposeSource { name: format!("{folder}{:05}", part.number), sum });
        }
        let mut round = 0;
        while level.len() > MAX_SOURCES {
            level = self.compose_round(folder, round, &level).await?;
            round += 1;
        }
        if level.is_empty() {
            return Err(StorageError::Invalid("an object needs at least one part".to_owned()));
        }
        self.compose(self.full(key), &level).await.map(drop)
    }

    /// Returns whether the first part is gone, as after a successful composition. Not every server
    /// reports that itself.
    async fn is_dropped(&self, folder: &str, parts: &[Part]) -> bool {
        let Some(first) = parts.first() else { return false };
        let request = GetObjectRequest {
            bucket: self.bucket.clone(),
            object: format!("{folder}{:05}", first.number),
            ..GetObjectRequest::default()
        };
        matches!(self.calls.size(request).await, Err(StorageError::NotFound))
    }

    /// Composes each group of 32 objects.
    async fn compose_round(
        &self,
        folder: &str,
        round: usize,
        level: &[ComposeSource],
    ) -> Result<Vec<ComposeSource>, StorageError> {
        let groups = level.chunks(MAX_SOURCES).enumerate();
        let compositions: Vec<_> =
            groups.map(|(group, of)| self.compose(format!("{folder}round-{round}-{group:05}"), of)).collect();
        stream::iter(compositions).buffered(COMPOSITIONS_AT_ONCE).try_collect().await
    }

    async fn compose(
        &self,
        target: String,
        sources: &[ComposeSource],
    ) -> Result<ComposeSource, StorageError> {
        let sum = sources.iter().fold(Sum::NOTHING, |sum, source| sum.then(source.sum));
        let named =
            |source: &ComposeSource| SourceObjects { name: source.name.clone(), ..SourceObjects::default() };
        let request = ComposeObjectRequest {
            bucket: self.bucket.clone(),
            destination_object: target.clone(),
            composing_targets: ComposingTargets {
                source_objects: sources.iter().map(named).collect(),
                ..ComposingTargets::default()
            },
            ..ComposeObjectRequest::default()
        };
        self.calls.compose(request, sum).await?;
        Ok(ComposeSource { name: target, sum })
    }

    /// Deletes the parts of a multipart upload, and its intermediate compositions.
    pub(super) async fn drop_parts(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        let Ok(folder) = self.parts_folder(key, multipart) else { return Ok(()) };
        loop {
            let request = ListObjectsRequest {
                bucket: self.bucket.clone(),
                prefix: Some(folder.clone()),
                ..ListObjectsRequest::default()
            };
            let found = self.calls.list(request).await?.items.unwrap_or_default();
            if found.is_empty() {
                return Ok(());
            }
            self.remove_named(found.into_iter().map(|object| object.name).collect()).await?;
        }
    }
}
