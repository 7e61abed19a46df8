//! Append blobs: content is written from start to end, without a list of blocks. Used by the Nix
//! client.
//!
//! Each append is a block whose id contains its position: the end of the content so far. A repeated
//! append cannot be distinguished from a new one, unless the client sends the expected position
//! (`x-ms-blob-condition-appendpos`). Without that field a repeat adds the bytes twice, the size of
//! the finalize does not match, and nothing is saved. Concurrent appends overlap, which is detected
//! when the blob is sealed or finalized. So the bytes are right, or rejected.

use super::error::BlobError;
use super::request::{Target, attach, check_content_length, content_length, find_upload, read_body};
use crate::cleanup;
use crate::ports::{Host, Payload, Request, Response, Upload};
use crate::service::{self, ChunkKind};
use crate::writer::Writer;

/// Creates an empty append blob, and discards earlier appends.
pub(super) async fn create<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Response<H>, BlobError> {
    // Some clients announce an empty body, others send none.
    read_body(host, request, 0).await.map_err(|error| match error {
        BlobError::TooLarge => BlobError::BadHeader("content-length"),
        error => error,
    })?;
    let upload = find_upload(host, request, target).await?;
    if !layout(host, &upload, target.writer).await?.is_ok_and(|layout| layout.is_empty()) {
        cleanup::discard(host, upload.name).await;
    }
    Ok(Response::new(201, Payload::Empty))
}

/// Appends the body.
pub(super) async fn append<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Response<H>, BlobError> {
    check_content_length(host, request)?;
    let upload = find_upload(host, request, target).await?;
    // Its content is final. Chunks appended after another `create` would be ignored silently.
    if upload.attachment.is_some() {
        return Err(BlobError::BadBody("the blob is sealed".to_owned()));
    }
    let layout = layout(host, &upload, target.writer).await?.map_err(rejected)?;
    let start = layout.size_bytes;
    if let Some(expected) = request.header("x-ms-blob-condition-appendpos")
        && expected.trim().parse() != Ok(start)
    {
        return Err(BlobError::AppendPosition);
    }
    let announced = content_length(request).unwrap_or(0);
    if host.settings().max_entry_bytes.is_some_and(|limit| start.saturating_add(announced) > limit) {
        return Err(BlobError::TooLarge);
    }
    let id = service::appended_id(target.writer, start, &request.id);
    let staged = host.put_block(upload.name, id, &request.incoming).await;
    staged.map_err(BlobError::of_body)?;
    Ok(Response::new(201, Payload::Empty)
        .with_header("x-ms-blob-append-offset", start.to_string())
        .with_header("x-ms-blob-committed-block-count", (layout.len() + 1).to_string()))
}

/// Commits the appended chunks as the upload's content. May be repeated.
pub(super) async fn seal<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Response<H>, BlobError> {
    let upload = find_upload(host, request, target).await?;
    let layout = layout(host, &upload, target.writer).await?.map_err(rejected)?;
    let stored = host.commit(upload.name.clone(), layout.into_ids()).await;
    let stored = stored.map_err(|error| BlobError::of_storage(error, BlobError::BadBlockList))?;
    attach(host, upload, stored, request.received_ms).await?;
    Ok(Response::new(200, Payload::Empty).with_header("x-ms-blob-sealed", "true"))
}

async fn layout<H: Host>(
    host: &H,
    upload: &Upload,
    writer: Writer,
) -> Result<Result<service::Layout, &'static str>, BlobError> {
    let layout = service::layout(host, upload, writer, ChunkKind::Appended).await;
    layout.map_err(|error| BlobError::of_storage(error, BlobError::Internal))
}

fn rejected(reason: &'static str) -> BlobError {
    BlobError::BadBlockList(reason.to_owned())
}

#[cfg(test)]
mod tests;
