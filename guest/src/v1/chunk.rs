//! `PATCH caches/{id}`: uploads a chunk of the content.
//!
//! Chunks arrive in parallel, in any order, repeatedly, and without a length (`@actions/cache`
//! sends `Transfer-Encoding: chunked`). A chunk is a block whose id contains its position and
//! length. So a body that does not match its `Content-Range` never becomes part of the content,
//! although it is stored before its length is known.

use crate::ports::{Host, OutcomeKind, Response, StorageError};
use crate::service::{self, Caller, Code, Error};

/// Offsets are below this: some clients hold them in a double.
const MAX_OFFSET: u64 = 1 << 53;

/// Stages the body, in place of a chunk with the same range.
///
/// # Errors
/// `invalid_argument` if `Content-Range` is missing or does not match the body, or the entry would
/// be too large; `not_found` if the caller may not write the upload; `already_exists` if it has
/// been renewed for another writer.
pub(super) async fn chunk<H: Host>(caller: &Caller<'_, H>, id: &str) -> Result<Response<H>, Error> {
    let (id, writer) = super::parse_number(id)?;
    let range = caller.request.header("content-range");
    let range = range.and_then(ContentRange::parse).ok_or_else(|| {
        Error::new(Code::InvalidArgument, "Content-Range must be of the form `bytes first-last/*`")
    })?;
    if let Some(announced) = caller.request.header("content-length")
        && announced.trim().parse() != Ok(range.length)
    {
        return Err(length_mismatch(announced, &range));
    }
    if caller.host.settings().max_entry_bytes.is_some_and(|limit| range.start + range.length > limit) {
        return Err(Error::too_large());
    }
    let upload = match caller.host.get_upload_by_id(id).await? {
        Some(upload) if super::may_write(caller, &upload)? => upload,
        _ => return in_words(caller, super::no_upload()).await,
    };
    caller.request.record(|outcome| {
        outcome.set_upload(&upload);
        outcome.key = Some(upload.slot.key.clone());
    });
    super::check_writer(writer, &upload)?;
    let block_id = service::ranged_id(writer, range.start, range.length);
    let length = match caller.host.put_block(upload.name.clone(), block_id, &caller.request.incoming).await {
        Err(error @ StorageError::NoSpace) if caller.is_export() => {
            service::refusal::note_upload(caller.host, &upload, caller.request.received_ms).await;
            return in_words(caller, error.into()).await;
        }
        length => length?,
    };
    if length != range.length {
        return Err(length_mismatch(&length.to_string(), &range));
    }
    caller.request.record(|outcome| outcome.set_kind(OutcomeKind::Stored));
    Ok(super::no_content())
}

/// Takes a chunk of BuildKit in words, if something of its export was refused; else fails.
async fn in_words<H: Host>(caller: &Caller<'_, H>, error: Error) -> Result<Response<H>, Error> {
    if !service::refusal::was_noted(caller).await? {
        return Err(error);
    }
    service::refusal::record(caller.request);
    Ok(super::no_content())
}

fn length_mismatch(length: &str, range: &ContentRange) -> Error {
    let length: String = length.chars().take(32).collect();
    let text = format!("the body has {length} bytes, but Content-Range says {}", range.length);
    Error::new(Code::InvalidArgument, text)
}

/// The position of a chunk in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    start: u64,
    /// At least 1; `start + length` is at most 2^53.
    length: u64,
}

impl ContentRange {
    /// Parses `bytes first-last/*`; a total in place of `*` must be larger than `last`.
    fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.trim().split_once(' ')?;
        let (range, total) = range.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last) = (number(first)?, number(last)?);
        let is_valid = unit.eq_ignore_ascii_case("bytes")
            && (total == "*" || number(total)? > last)
            && start <= last
            && last < MAX_OFFSET;
        is_valid.then(|| Self { start, length: last - start + 1 })
    }
}

fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
