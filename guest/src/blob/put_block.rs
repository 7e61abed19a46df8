//! Put Block: stages a block under an id that the client chooses.
//!
//! The hot path of uploads: BuildKit sends blocks of 1 MiB one by one. One call of the index, one
//! of the storage.

use super::error::BlobError;
use super::request::{Target, check_content_length, find_upload, required_parameter, unless_refused};
use crate::ports::{Host, Request};

/// The longest block id, in bytes. Known clients use up to 88.
pub(super) const MAX_ID_BYTES: usize = 256;

/// Stages the body, in place of a block with the same id.
///
/// # Errors
/// Those of storage and index; a missing or invalid id, a missing upload, a block larger than an
/// entry may be.
pub(super) async fn put_block<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<(), BlobError> {
    let id = required_parameter(request.query.as_deref(), "blockid")?;
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(BlobError::BadParameter("blockid"));
    }
    check_content_length(host, request)?;
    let upload = find_upload(host, request, target).await?;
    let id = target.writer.block_id(id);
    let staged = host.put_block(upload.name.clone(), id, &request.incoming).await;
    unless_refused(host, request, &upload, staged, BlobError::BadBody).await.map(drop)
}
