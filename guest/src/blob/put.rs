//! Put Blob: the whole content in one request.

use super::error::BlobError;
use super::{Target, check_announced_length, publish, upload_of};
use crate::ports::{Host, Request};

/// Returns whether a blob that is appended to is to be created.
pub(super) fn is_append_blob<I>(request: &Request<I>) -> bool {
    request.header("x-ms-blob-type").is_some_and(|kind| kind.eq_ignore_ascii_case("AppendBlob"))
}

/// Stores the body as the upload's content, in place of what was there.
///
/// # Errors
/// Besides the storage's: another kind of blob, an upload that is gone, a body over the limit.
pub(super) async fn put<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<(), BlobError> {
    if request.header("x-ms-blob-type").is_some_and(|kind| !kind.eq_ignore_ascii_case("BlockBlob")) {
        return Err(BlobError::BadHeader("x-ms-blob-type"));
    }
    check_announced_length(host, request)?;
    let upload = upload_of(host, request, target).await?;
    let stored = host.put(upload.name.clone(), &request.incoming).await;
    let stored = stored.map_err(BlobError::of_body)?;
    publish(host, upload, stored, request.received_ms).await
}
