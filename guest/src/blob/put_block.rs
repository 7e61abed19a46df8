//! Put Block: one piece of the content, under an id of the client's choice.
//!
//! The hot path of uploads: BuildKit sends 1 MiB blocks one after the other. One look into the index, one call of the
//! storage.

use super::error::BlobError;
use super::{Target, check_announced_length, required, upload_of};
use crate::ports::{Host, Request};

/// The longest block id, in bytes. Clients' ids have up to 88.
pub(super) const MAX_ID_BYTES: usize = 256;

/// Stages the body under the block's id; a block of that id is replaced.
///
/// # Errors
/// Besides the storage's: no id or a too long one, an upload that is gone, a block over the limit of a whole entry.
pub(super) async fn put_block<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<(), BlobError> {
    let id = required(request.query.as_deref(), "blockid")?;
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(BlobError::BadParameter("blockid"));
    }
    check_announced_length(host, request)?;
    let upload = upload_of(host, request, target).await?;
    let staged = host.put_block(upload.name, target.writer.block_id(id), &request.incoming).await;
    staged.map(drop).map_err(BlobError::of_body)
}
