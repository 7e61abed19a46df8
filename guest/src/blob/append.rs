//! Append blobs: content that is written from its start to its end, without a list of blocks. The Nix client saves so.
//!
//! Each append is a block whose id says where it starts: at the end of what was appended before. Nothing tells a repeat of an
//! append from a new one unless the client says where it thinks the end is (`x-ms-blob-condition-appendpos`); so without that
//! field a repeat adds the bytes twice, and the size that the client finalizes with does not match: nothing is saved. Two
//! appends at once overlap, which is found when the blob is sealed or finalized. Either way the bytes are right or refused.

use super::error::BlobError;
use super::put_block_list::unreadable;
use super::{Target, check_announced_length, content_length, publish, upload_of};
use crate::cleanup;
use crate::ports::{Host, HttpError, Payload, Request, Response, Upload};
use crate::service::{self, ChunkKind};
use crate::writer::Writer;

/// Creates an empty append blob: what was appended before is thrown away.
pub(super) async fn create<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Response<H>, BlobError> {
    // Some clients say that there is no body, others just send none.
    host.read_body(&request.incoming, 0).await.map_err(|error| match error {
        HttpError::TooLarge => BlobError::BadHeader("content-length"),
        error => unreadable(error),
    })?;
    let upload = upload_of(host, request, target).await?;
    if !layout(host, &upload, target.writer).await?.is_ok_and(|layout| layout.is_empty()) {
        cleanup::discard(host, upload.name).await;
    }
    Ok(Response::new(201, Payload::Empty))
}

/// Adds the body at the end.
pub(super) async fn append<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Response<H>, BlobError> {
    check_announced_length(host, request)?;
    let upload = upload_of(host, request, target).await?;
    // Its content stands. What is appended after it was created anew would not count, and nobody would notice.
    if upload.attachment.is_some() {
        return Err(BlobError::BadBody("the blob is sealed".to_owned()));
    }
    let layout = layout(host, &upload, target.writer).await?.map_err(unlike_a_blob)?;
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
        .with("x-ms-blob-append-offset", start.to_string())
        .with("x-ms-blob-committed-block-count", (layout.len() + 1).to_string()))
}

/// Makes what was appended the upload's content. A repeat does the same again.
pub(super) async fn seal<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<Response<H>, BlobError> {
    let upload = upload_of(host, request, target).await?;
    let layout = layout(host, &upload, target.writer).await?.map_err(unlike_a_blob)?;
    let stored = host.commit(upload.name.clone(), layout.into_ids()).await;
    let stored = stored.map_err(|error| BlobError::of_storage(error, BlobError::BadBlockList))?;
    publish(host, upload, stored, request.received_ms).await?;
    Ok(Response::new(200, Payload::Empty).with("x-ms-blob-sealed", "true"))
}

async fn layout<H: Host>(
    host: &H,
    upload: &Upload,
    writer: Writer,
) -> Result<Result<service::Layout, &'static str>, BlobError> {
    let layout = service::layout(host, upload, writer, ChunkKind::Appended).await;
    layout.map_err(|error| BlobError::of_storage(error, BlobError::Internal))
}

fn unlike_a_blob(why: &'static str) -> BlobError {
    BlobError::BadBlockList(why.to_owned())
}

#[cfg(test)]
mod tests;
