//! Put Block List: commits staged blocks as the content, in the order of the list.

use super::block_list::{self, ListError};
use super::error::BlobError;
use super::request::{Target, attach, find_upload, read_body, unless_refused};
use crate::ports::{Host, Request};

/// The largest list, in bytes: enough for 50,000 ids of known clients, and the limit of the host.
const MAX_LIST_BYTES: u64 = 8 * 1024 * 1024;

/// Commits the listed blocks of this writer as the upload's content. May be repeated.
///
/// # Errors
/// Those of storage and index; an invalid list, a missing upload, content over the limit.
pub(super) async fn put_block_list<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<(), BlobError> {
    let upload = find_upload(host, request, target).await?;
    let body = read_body(host, request, MAX_LIST_BYTES).await?;
    let ids = block_list::parse(&body)?;
    let ids = ids.into_iter().map(|id| target.writer.block_id(id.into())).collect();
    let stored = host.commit(upload.name.clone(), ids).await;
    let stored = unless_refused(host, request, &upload, stored, BlobError::BadBlockList).await?;
    let Some(stored) = stored else { return Ok(()) };
    attach(host, upload, stored, request.received_ms).await
}

impl From<ListError> for BlobError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::NotAList => Self::BadXml,
            ListError::BadId => Self::BadBlockList("a block id is empty or too long".to_owned()),
            ListError::TooLong => Self::LongBlockList,
        }
    }
}
