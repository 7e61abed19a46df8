//! What the blob operations share: their target, and the checks of requests.

use std::borrow::Cow;

use super::error::BlobError;
use crate::ports::{Host, HttpError, Request, StorageError, Stored, Upload};
use crate::query;
use crate::service::{self, AttachError, refusal};
use crate::writer::Writer;

/// The target of an upload URL.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The name of the upload.
    pub(super) name: &'a str,
    pub(super) writer: Writer,
}

/// Returns the upload of the target.
///
/// # Errors
/// [`BlobError::NotFound`] if it does not exist (any more), which is permanent.
/// [`BlobError::Displaced`] if it has been renewed for another writer.
pub(super) async fn find_upload<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Upload, BlobError> {
    let upload = host.get_upload(target.name.to_owned()).await?.ok_or(BlobError::NotFound)?;
    request.record(|outcome| {
        outcome.set_slot(&upload.slot);
        outcome.set_upload(&upload);
    });
    if target.writer.is_current(&upload) { Ok(upload) } else { Err(BlobError::Displaced) }
}

/// Returns the result of a storage call for an upload. If there is no room, but the client is BuildKit,
/// it gets a success in words: `None`.
pub(super) async fn unless_refused<H: Host, T>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    upload: &Upload,
    outcome: Result<T, StorageError>,
    on_invalid: impl FnOnce(String) -> BlobError,
) -> Result<Option<T>, BlobError> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(StorageError::NoSpace)
            if refusal::is_export_upload(request)
                && refusal::note_upload(host, upload, request.received_ms).await =>
        {
            refusal::record(request);
            Ok(None)
        }
        Err(error) => Err(BlobError::of_storage(error, on_invalid)),
    }
}

/// Attaches a stored object to its upload.
pub(super) async fn attach<H: Host>(
    host: &H,
    upload: Upload,
    stored: Stored,
    now_ms: u64,
) -> Result<(), BlobError> {
    service::attach(host, upload, stored, now_ms).await.map_err(|error| match error {
        AttachError::TooLarge => BlobError::TooLarge,
        AttachError::UploadGone => BlobError::UploadGone,
        AttachError::Displaced => BlobError::Displaced,
        AttachError::Index(error) => error.into(),
    })
}

/// Reads the body into memory, at most `limit_bytes` of it.
pub(super) async fn read_body<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    limit_bytes: u64,
) -> Result<Vec<u8>, BlobError> {
    host.read_body(&request.incoming, limit_bytes).await.map_err(|error| match error {
        HttpError::TooLarge => BlobError::TooLarge,
        HttpError::CutShort => BlobError::BadBody("the body ended early".to_owned()),
        HttpError::BodyUsed => BlobError::Internal("the body has been taken already".to_owned()),
        HttpError::Busy => BlobError::Busy,
        HttpError::NoUpstream => BlobError::Internal("no upstream for a body".to_owned()),
        HttpError::Unavailable(cause) => BlobError::Unavailable(cause),
    })
}

/// Returns the announced length of the body, if there is one.
pub(super) fn content_length<I>(request: &Request<I>) -> Option<u64> {
    request.header("content-length")?.trim().parse().ok()
}

/// Rejects a body whose announced length is larger than an entry may be.
pub(super) fn check_content_length<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
) -> Result<(), BlobError> {
    match (content_length(request), host.settings().max_entry_bytes) {
        (Some(announced), Some(limit)) if announced > limit => Err(BlobError::TooLarge),
        (_, _) => Ok(()),
    }
}

/// Returns a required query parameter.
pub(super) fn required_parameter<'q>(
    query: Option<&'q str>,
    name: &'static str,
) -> Result<Cow<'q, str>, BlobError> {
    match query::parameter(query, name) {
        None => Err(BlobError::MissingParameter(name)),
        Some(value) => value.map_err(|_| BlobError::BadParameter(name)),
    }
}
