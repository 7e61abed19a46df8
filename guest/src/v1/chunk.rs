//! `PATCH caches/{id}`: one piece of the content.
//!
//! Pieces come in parallel, in any order, and again, and without a length (`@actions/cache` sends `Transfer-Encoding:
//! chunked`). A piece is a block whose id says where it starts and how long it is, so that a piece whose body had another
//! length than its Content-Range is no part of the content, although it was stored before its length was known.

use crate::ports::{Host, OutcomeKind, Response};
use crate::service::{self, Caller, Code, Error};

/// Where the numbers of clients end that know only doubles.
const MAX_OFFSET: u64 = 1 << 53;

/// Stages the body; a piece of the same range is replaced.
///
/// # Errors
/// `invalid_argument` where Content-Range is missing or is not the body's, `not_found` where the upload is not the caller's,
/// `already_exists` where it was handed out once more.
pub(super) async fn chunk<H: Host>(caller: &Caller<'_, H>, id: &str) -> Result<Response<H>, Error> {
    let (id, writer) = super::number(id)?;
    let range = caller.request.header("content-range");
    let range = range.and_then(ContentRange::parse).ok_or_else(|| {
        Error::new(Code::InvalidArgument, "Content-Range must be of the form `bytes first-last/*`")
    })?;
    if let Some(announced) = caller.request.header("content-length")
        && announced.trim().parse() != Ok(range.length)
    {
        return Err(other_length(announced, &range));
    }
    if caller.host.settings().max_entry_bytes.is_some_and(|limit| range.start + range.length > limit) {
        return Err(Error::too_large());
    }
    let upload = caller.host.get_upload_by_id(id).await?.ok_or_else(super::no_upload)?;
    if !super::is_callers(caller, &upload)? {
        return Err(super::no_upload());
    }
    caller.request.note(|outcome| {
        outcome.of_upload(&upload);
        outcome.key = Some(upload.slot.key.clone());
    });
    super::check_writer(writer, &upload)?;
    let block_id = service::ranged_id(writer, range.start, range.length);
    let length = caller.host.put_block(upload.name, block_id, &caller.request.incoming).await?;
    if length != range.length {
        return Err(other_length(&length.to_string(), &range));
    }
    caller.request.note(|outcome| outcome.is(OutcomeKind::Stored));
    Ok(super::done())
}

fn other_length(length: &str, range: &ContentRange) -> Error {
    let length: String = length.chars().take(32).collect();
    let text = format!("the body has {length} bytes, but Content-Range says {}", range.length);
    Error::new(Code::InvalidArgument, text)
}

/// A piece's place in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    start: u64,
    /// At least 1; `start + length` is at most 2^53.
    length: u64,
}

impl ContentRange {
    /// Reads `bytes first-last/*`; a number in place of `*` is passed over. `None` for what is not of that form.
    fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.trim().split_once(' ')?;
        let (range, total) = range.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last) = (number(first)?, number(last)?);
        let is_one = unit.eq_ignore_ascii_case("bytes")
            && (total == "*" || number(total)? > last)
            && start <= last
            && last < MAX_OFFSET;
        is_one.then(|| Self { start, length: last - start + 1 })
    }
}

fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
