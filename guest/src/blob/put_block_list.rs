//! Put Block List: make one content of the staged blocks. The order is the list's, and nothing else's.

use super::block_list::{self, ListError};
use super::error::BlobError;
use super::{Target, publish, upload_of};
use crate::ports::{Host, HttpError, Request};

/// The largest list, in bytes: 50,000 ids of the length that clients use fit, and it is the most that the host reads.
const MAX_LIST_BYTES: u64 = 8 * 1024 * 1024;

/// Commits the listed blocks, which are the writer's own, as the upload's content. A repeat does the same again.
///
/// # Errors
/// Besides the storage's: a list that cannot be read, an upload that is gone, content over the limit.
pub(super) async fn put_block_list<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    target: Target<'_>,
) -> Result<(), BlobError> {
    let upload = upload_of(host, request, target).await?;
    let body = host.read_body(&request.incoming, MAX_LIST_BYTES).await.map_err(unreadable)?;
    let ids = block_list::parse(&body)?;
    let ids = ids.into_iter().map(|id| target.writer.block_id(id.into())).collect();
    let stored = host.commit(upload.name.clone(), ids).await;
    let stored = stored.map_err(|error| BlobError::of_storage(error, BlobError::BadBlockList))?;
    publish(host, upload, stored, request.received_ms).await
}

/// Says why a body could not be read.
pub(super) fn unreadable(error: HttpError) -> BlobError {
    match error {
        HttpError::TooLarge => BlobError::TooLarge,
        HttpError::CutShort => BlobError::BadBody("the body ended early".to_owned()),
        HttpError::BodyUsed => BlobError::Internal("the body was taken before".to_owned()),
        HttpError::Busy => BlobError::Busy,
        HttpError::NoUpstream => BlobError::Internal("no upstream for a body".to_owned()),
        HttpError::Unavailable(how) => BlobError::Unavailable(how),
    }
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
