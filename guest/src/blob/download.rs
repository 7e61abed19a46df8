//! Downloads: GET and HEAD of an entry's content, in full or a range of it.
//!
//! Everything about the answer is known from the row; the storage is asked only for bytes that will be sent, or, for a HEAD,
//! whether they are there.

use std::time::{Duration, SystemTime};

use super::error::BlobError;
use super::range::{self, Asked};
use super::{conditions, finish};
use crate::ports::{ByteRange, Entry, Host, Payload, Request, Response, StorageError};
use crate::route::Verb;
use crate::stale::{self, Reason};
use crate::url;

/// The last moment that an HTTP date can name: the end of the year 9999, in milliseconds since 1970.
const MAX_DATE_MS: u64 = 253_402_300_799_000;

/// Answers a download.
pub(crate) async fn download<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    id: &str,
    verb: Verb,
) -> Response<H> {
    let answer = respond(host, request, id, verb).await;
    finish(host, request, answer)
}

async fn respond<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    id: &str,
    verb: Verb,
) -> Result<Response<H>, BlobError> {
    url::check_download(host, id, request.query.as_deref(), request.received_ms)?;
    if verb == Verb::WrongMethod {
        return Err(BlobError::WrongMethod);
    }
    let id = id.parse().map_err(|_| BlobError::NotFound)?;
    let entry = host.get_entry(id).await?.ok_or(BlobError::NotFound)?;
    request.note(|outcome| {
        outcome.of_slot(&entry.slot);
        outcome.entry = Some(entry.id);
    });
    let validators = Validators::of(&entry);
    if !validators.satisfy_if_match(request) {
        return Err(BlobError::ConditionFailed);
    }
    if validators.are_known_to(request) {
        return Ok(validators.describe(Response::new(304, Payload::Empty)));
    }
    let response = match verb {
        Verb::Head => head(host, &entry).await?,
        Verb::Get | Verb::WrongMethod => get(host, request, &entry, &validators).await?,
    };
    Ok(validators
        .describe(response)
        .with("accept-ranges", "bytes")
        // A proxy that compresses would take the length away, by which clients know a whole download.
        .with("cache-control", "no-transform")
        .with("content-type", "application/octet-stream")
        .with("x-ms-blob-type", "BlockBlob"))
}

async fn head<H: Host>(host: &H, entry: &Entry) -> Result<Response<H>, BlobError> {
    match stale::inspect(host, entry).await {
        Ok(None) => {
            Ok(Response::new(200, Payload::Empty).with("content-length", entry.size_bytes.to_string()))
        }
        Ok(Some(reason)) => Err(gone(host, entry, reason)),
        Err(error) => Err(BlobError::of_storage(error, BlobError::Internal)),
    }
}

async fn get<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    entry: &Entry,
    validators: &Validators,
) -> Result<Response<H>, BlobError> {
    match asked(request, entry, validators) {
        Asked::Unsatisfiable => Err(BlobError::RangeNotSatisfiable(entry.size_bytes)),
        Asked::Whole => {
            let object = open(host, entry, None).await?;
            let length = entry.size_bytes.to_string();
            Ok(Response::new(200, Payload::Object(object)).with("content-length", length))
        }
        Asked::Part(range) => {
            let object = open(host, entry, Some(range)).await?;
            let (length, last) = ((range.end - range.start).to_string(), range.end - 1);
            Ok(Response::new(206, Payload::Object(object))
                .with("content-length", length)
                .with("content-range", format!("bytes {}-{last}/{}", range.start, entry.size_bytes)))
        }
    }
}

/// `x-ms-range` counts where both are there: Azure's SDKs for Go and JavaScript send that one.
fn asked<I>(request: &Request<I>, entry: &Entry, validators: &Validators) -> Asked {
    let Some(range) = request.header("x-ms-range").or_else(|| request.header("range")) else {
        return Asked::Whole;
    };
    let still_valid = request
        .header("if-range")
        .is_none_or(|value| conditions::if_range(value, &validators.tag, &validators.last_modified));
    if still_valid { range::resolve(range, entry.size_bytes) } else { Asked::Whole }
}

async fn open<H: Host>(host: &H, entry: &Entry, range: Option<ByteRange>) -> Result<H::Object, BlobError> {
    let opened = host.open(entry.object.clone(), entry.size_bytes, range).await;
    opened.map_err(|error| match error {
        // Gone or of another size: the storage does not say which.
        StorageError::NotFound => gone(host, entry, Reason::Gone),
        error => BlobError::of_storage(error, BlobError::Internal),
    })
}

fn gone<H: Host>(host: &H, entry: &Entry, reason: Reason) -> BlobError {
    stale::warn(host, "stale entry not found", entry, reason);
    BlobError::Stale
}

/// What a client may hold to know an entry's content again.
struct Validators {
    /// Strong, with its quotes.
    tag: String,
    last_modified: String,
}

impl Validators {
    fn of(entry: &Entry) -> Self {
        let created = Duration::from_millis(entry.created_ms.min(MAX_DATE_MS));
        Self {
            tag: format!("\"0x{:016X}\"", fingerprint(entry)),
            last_modified: httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + created),
        }
    }

    fn satisfy_if_match<I>(&self, request: &Request<I>) -> bool {
        request.header("if-match").is_none_or(|list| conditions::if_match(list, &self.tag))
    }

    fn are_known_to<I>(&self, request: &Request<I>) -> bool {
        request.header("if-none-match").is_some_and(|list| conditions::names(list, &self.tag))
    }

    fn describe<H: Host>(&self, response: Response<H>) -> Response<H> {
        response.with("etag", self.tag.as_str()).with("last-modified", self.last_modified.as_str())
    }
}

/// FNV-1a over id and object name. Entries and objects are immutable, so it names the content; the object's name itself is
/// nobody's business.
fn fingerprint(entry: &Entry) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = entry.id.to_le_bytes().into_iter().chain(entry.object.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
