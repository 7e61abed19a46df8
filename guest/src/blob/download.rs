//! Downloads: `GET` and `HEAD` of an entry's content or a range of it.
//!
//! The head of the response comes from the row. The storage is called only for the bytes that are
//! sent, or, for a `HEAD`, to check that they exist.

use std::time::{Duration, SystemTime};

use super::error::BlobError;
use super::range::{self, ResolvedRange};
use super::{conditions, into_response};
use crate::ports::{ByteRange, Entry, Host, Payload, Request, Response, StorageError};
use crate::route::DownloadMethod;
use crate::stale::{self, StaleReason};
use crate::url;

/// The largest HTTP date: the end of the year 9999, in milliseconds since 1970.
const MAX_DATE_MS: u64 = 253_402_300_799_000;

/// Handles a download.
pub(crate) async fn download<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    id: &str,
    method: DownloadMethod,
) -> Response<H> {
    let result = respond(host, request, id, method).await;
    into_response(host, request, result)
}

async fn respond<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    id: &str,
    method: DownloadMethod,
) -> Result<Response<H>, BlobError> {
    url::check_download(host, id, request.query.as_deref(), request.received_ms)?;
    if method == DownloadMethod::WrongMethod {
        return Err(BlobError::WrongMethod);
    }
    let id = id.parse().map_err(|_| BlobError::NotFound)?;
    let entry = host.get_entry(id).await?.ok_or(BlobError::NotFound)?;
    request.record(|outcome| {
        outcome.set_slot(&entry.slot);
        outcome.entry = Some(entry.id);
    });
    content(host, request, &entry, method).await
}

/// Sends an entry's content, for a protocol of a policy: errors are JSON.
pub(crate) async fn send<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    entry: &Entry,
) -> Response<H> {
    let method = DownloadMethod::of(&request.method);
    let sent = if method == DownloadMethod::WrongMethod {
        Err(BlobError::WrongMethod)
    } else {
        content(host, request, entry, method).await
    };
    sent.unwrap_or_else(|error| error.into_json_response(host, request))
}

async fn content<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    entry: &Entry,
    method: DownloadMethod,
) -> Result<Response<H>, BlobError> {
    let validators = Validators::of(entry);
    if !validators.satisfy_if_match(request) {
        return Err(BlobError::ConditionFailed);
    }
    if validators.match_if_none_match(request) {
        return Ok(validators.add_to(Response::new(304, Payload::Empty)));
    }
    let response = match method {
        DownloadMethod::Head => head(host, entry).await?,
        DownloadMethod::Get | DownloadMethod::WrongMethod => get(host, request, entry, &validators).await?,
    };
    Ok(validators
        .add_to(response)
        .with_header("accept-ranges", "bytes")
        // A proxy that compresses would drop the length, by which clients detect an incomplete
        // download.
        .with_header("cache-control", "no-transform")
        .with_header("content-type", "application/octet-stream")
        .with_header("x-ms-blob-type", "BlockBlob"))
}

async fn head<H: Host>(host: &H, entry: &Entry) -> Result<Response<H>, BlobError> {
    match stale::check(host, entry).await {
        Ok(None) => {
            Ok(Response::new(200, Payload::Empty).with_header("content-length", entry.size_bytes.to_string()))
        }
        Ok(Some(reason)) => Err(stale_error(host, entry, reason)),
        Err(error) => Err(BlobError::of_storage(error, BlobError::Internal)),
    }
}

async fn get<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    entry: &Entry,
    validators: &Validators,
) -> Result<Response<H>, BlobError> {
    match requested_range(request, entry, validators) {
        ResolvedRange::Unsatisfiable => Err(BlobError::RangeNotSatisfiable(entry.size_bytes)),
        ResolvedRange::Full => {
            let object = open(host, entry, None).await?;
            let length = entry.size_bytes.to_string();
            Ok(Response::new(200, Payload::Object(object)).with_header("content-length", length))
        }
        ResolvedRange::Partial(range) => {
            let object = open(host, entry, Some(range)).await?;
            let (length, last) = ((range.end - range.start).to_string(), range.end - 1);
            Ok(Response::new(206, Payload::Object(object))
                .with_header("content-length", length)
                .with_header("content-range", format!("bytes {}-{last}/{}", range.start, entry.size_bytes)))
        }
    }
}

/// `x-ms-range` takes precedence over `range`: Azure's SDKs for Go and JavaScript send it.
fn requested_range<I>(request: &Request<I>, entry: &Entry, validators: &Validators) -> ResolvedRange {
    let Some(range) = request.header("x-ms-range").or_else(|| request.header("range")) else {
        return ResolvedRange::Full;
    };
    let still_valid = request
        .header("if-range")
        .is_none_or(|value| conditions::if_range(value, &validators.tag, &validators.last_modified));
    if still_valid { range::resolve(range, entry.size_bytes) } else { ResolvedRange::Full }
}

async fn open<H: Host>(host: &H, entry: &Entry, range: Option<ByteRange>) -> Result<H::Object, BlobError> {
    let opened = host.open(entry.object.clone(), entry.size_bytes, range).await;
    opened.map_err(|error| match error {
        // Missing, or of another size: the storage does not distinguish them.
        StorageError::NotFound => stale_error(host, entry, StaleReason::Gone),
        error => BlobError::of_storage(error, BlobError::Internal),
    })
}

fn stale_error<H: Host>(host: &H, entry: &Entry, reason: StaleReason) -> BlobError {
    stale::warn(host, "stale entry not found", entry, reason);
    BlobError::Stale
}

/// The validators of an entry's content (RFC 9110, section 8.8).
struct Validators {
    /// A strong entity tag, with its quotes.
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

    fn match_if_none_match<I>(&self, request: &Request<I>) -> bool {
        request.header("if-none-match").is_some_and(|list| conditions::matches_any(list, &self.tag))
    }

    fn add_to<H: Host>(&self, response: Response<H>) -> Response<H> {
        response
            .with_header("etag", self.tag.as_str())
            .with_header("last-modified", self.last_modified.as_str())
    }
}

/// FNV-1a of id and object name. Entries and objects are immutable, so it identifies the content
/// without revealing the object's name.
fn fingerprint(entry: &Entry) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = entry.id.to_le_bytes().into_iter().chain(entry.object.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
