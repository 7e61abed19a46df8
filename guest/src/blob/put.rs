//! Put Blob: uploads the whole content in one request.

use super::error::BlobError;
use super::request::{Target, attach, check_content_length, find_upload, unless_refused};
use crate::ports::{Host, Request};

/// Returns whether the request creates an append blob.
pub(super) fn is_append_blob<I>(request: &Request<I>) -> bool {
    request.header("x-ms-blob-type").is_some_and(|kind| kind.eq_ignore_ascii_case("AppendBlob"))
}

/// Stores the body as the upload's content, in place of any earlier content.
///
/// # Errors
/// Those of storage and index; another kind of blob, a missing upload, a body over the limit.
pub(super) async fn put<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<(), BlobError> {
    if request.header("x-ms-blob-type").is_some_and(|kind| !kind.eq_ignore_ascii_case("BlockBlob")) {
        return Err(BlobError::BadHeader("x-ms-blob-type"));
    }
    check_content_length(host, request)?;
    let upload = find_upload(host, request, target).await?;
    let stored = host.put(upload.name.clone(), &request.incoming).await;
    let stored = unless_refused(host, request, &upload, stored, BlobError::BadBody).await?;
    let Some(stored) = stored else { return Ok(()) };
    attach(host, upload, stored, request.received_ms).await
}
