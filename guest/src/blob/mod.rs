//! The transfers: the part of Azure's Blob API that cache clients use.
//!
//! Called by `handler`. A signed URL is the whole authority here; whatever else is wrong with a request, a bad URL is what
//! it is told. Bytes never come through: handles are passed from the request to the storage and back. Must never know
//! tokens, or the encodings of the cache service.

mod append;
mod block_list;
mod conditions;
mod download;
mod error;
mod put;
mod put_block;
mod put_block_list;
mod range;

pub(crate) use download::download;

use std::borrow::Cow;

use crate::ports::{Host, OutcomeKind, Payload, Request, Response, Stored, Upload};
use crate::query;
use crate::route::Step;
use crate::service::{self, AttachError};
use crate::url;
use crate::writer::Writer;
use error::BlobError;

/// The version of Azure's API that is spoken. Clients send newer and older ones; none looks at ours.
const API_VERSION: &str = "2021-08-06";

/// Answers a step of an upload.
pub(crate) async fn upload<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    name: &str,
    step: Step,
) -> Response<H> {
    let answer = take(host, request, name, step).await;
    finish(host, request, answer)
}

/// What a URL names: an upload, and who writes it.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'a str,
    writer: Writer,
}

async fn take<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    name: &str,
    step: Step,
) -> Result<Response<H>, BlobError> {
    let writer = url::check_upload(host, name, request.query.as_deref(), request.received_ms)?;
    let target = Target { name, writer };
    request.note(|outcome| outcome.kind = step_kind(step));
    match step {
        Step::PutBlob if put::is_append_blob(request) => return append::create(host, request, target).await,
        Step::AppendBlock => return append::append(host, request, target).await,
        Step::Seal => return append::seal(host, request, target).await,
        Step::PutBlob => put::put(host, request, target).await?,
        Step::PutBlock => put_block::put_block(host, request, target).await?,
        Step::PutBlockList => put_block_list::put_block_list(host, request, target).await?,
        Step::UnknownComp => return Err(BlobError::BadParameter("comp")),
        Step::WrongMethod => return Err(BlobError::WrongMethod),
    }
    // Exactly 201: the SDKs take 200 for a failure.
    Ok(Response::new(201, Payload::Empty))
}

/// What a step that succeeds has done.
fn step_kind(step: Step) -> Option<OutcomeKind> {
    match step {
        Step::PutBlob | Step::PutBlock | Step::AppendBlock => Some(OutcomeKind::Stored),
        Step::PutBlockList | Step::Seal => Some(OutcomeKind::Committed),
        Step::UnknownComp | Step::WrongMethod => None,
    }
}

/// Adds what every answer of these routes has. BuildKit's client crashes without the request id.
fn finish<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    answer: Result<Response<H>, BlobError>,
) -> Response<H> {
    answer
        .unwrap_or_else(|error| error.into_response(host, request))
        .with("x-ms-request-id", request.id.as_str())
        .with("x-ms-version", API_VERSION)
}

/// Returns the upload that the URL names.
///
/// # Errors
/// [`BlobError::NotFound`] where there is none (any more): finalized or given up, for good in any case.
/// [`BlobError::Displaced`] where it was handed out once more, to another writer.
async fn upload_of<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Upload, BlobError> {
    let upload = host.get_upload(target.name.to_owned()).await?.ok_or(BlobError::NotFound)?;
    request.note(|outcome| {
        outcome.of_slot(&upload.slot);
        outcome.of_upload(&upload);
    });
    if target.writer.is_current(&upload) { Ok(upload) } else { Err(BlobError::Displaced) }
}

/// Makes a stored object the content of its upload.
async fn publish<H: Host>(host: &H, upload: Upload, stored: Stored, now_ms: u64) -> Result<(), BlobError> {
    service::attach(host, upload, stored, now_ms).await.map_err(|error| match error {
        AttachError::TooLarge => BlobError::TooLarge,
        AttachError::UploadGone => BlobError::UploadGone,
        AttachError::Displaced => BlobError::Displaced,
        AttachError::Index(error) => error.into(),
    })
}

/// Returns the length that the request says its body has.
fn content_length<I>(request: &Request<I>) -> Option<u64> {
    request.header("content-length")?.trim().parse().ok()
}

/// Refuses a body that is announced to be larger than an entry may be.
fn check_announced_length<H: Host>(host: &H, request: &Request<H::IncomingRequest>) -> Result<(), BlobError> {
    match (content_length(request), host.settings().max_entry_bytes) {
        (Some(announced), Some(limit)) if announced > limit => Err(BlobError::TooLarge),
        (_, _) => Ok(()),
    }
}

/// Returns a query parameter that must be there.
fn required<'q>(query: Option<&'q str>, name: &'static str) -> Result<Cow<'q, str>, BlobError> {
    match query::parameter(query, name) {
        None => Err(BlobError::MissingParameter(name)),
        Some(value) => value.map_err(|_| BlobError::BadParameter(name)),
    }
}

#[cfg(test)]
mod tests;
