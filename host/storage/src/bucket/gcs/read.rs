//! Downloads, with one request whose response head has the size.
//!
//! The library's download does not return that head, so the request is made here, with the
//! library's tokens.

use std::ops::Range;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Response, StatusCode, header};

use super::calls::{CallError, Calls, Connection, classify};
use crate::{Content, StorageError};

/// Characters that need no encoding in a path segment or a query value.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Calls {
    /// Opens an object of this size, or a range of it.
    pub(super) async fn open(
        &self,
        endpoint: &str,
        bucket: &str,
        name: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        let url = media_url(endpoint, bucket, name);
        let length = range.as_ref().map_or(size_bytes, |range| range.end - range.start);
        let response = self.download(&url, range.as_ref()).await?;
        if total_bytes(&response) != Some(size_bytes) || response.content_length() != Some(length) {
            return Err(StorageError::NotFound);
        }
        Ok(self.retry_policy.content(length, response.bytes_stream()))
    }

    /// Reads an object of at most `limit` bytes into memory.
    pub(super) async fn read(
        &self,
        endpoint: &str,
        bucket: &str,
        name: &str,
        limit: u64,
    ) -> Result<Bytes, StorageError> {
        let response = self.download(&media_url(endpoint, bucket, name), None).await?;
        let length = response.content_length().unwrap_or(u64::MAX);
        self.retry_policy.read(length, limit, response.bytes_stream()).await
    }

    async fn download(&self, url: &str, range: Option<&Range<u64>>) -> Result<Response, StorageError> {
        self.call("reading an object", 0, || request_media(&self.connection, url, range)).await
    }
}

async fn request_media(
    connection: &Connection,
    url: &str,
    range: Option<&Range<u64>>,
) -> Result<Response, CallError> {
    let mut request = connection.http.get(url);
    if let Some(range) = range {
        request = request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
    }
    let response = connection
        .authorized(request)
        .await?
        .send()
        .await
        .map_err(|error| classify(None, Box::new(error)))?;
    match response.error_for_status_ref() {
        Ok(_) => Ok(response),
        // The range begins after the end: the object has another size.
        Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => Err(CallError::NotFound),
        Err(error) => Err(classify(error.status().map(|s| s.as_u16()), Box::new(error))),
    }
}

/// The size of the whole object, from the response head.
fn total_bytes(response: &Response) -> Option<u64> {
    match response.headers().get(header::CONTENT_RANGE) {
        None if response.status() == StatusCode::OK => response.content_length(),
        None => None,
        Some(range) => range.to_str().ok()?.rsplit_once('/')?.1.parse().ok(),
    }
}

fn media_url(endpoint: &str, bucket: &str, name: &str) -> String {
    let (bucket, name) = (utf8_percent_encode(bucket, SEGMENT), utf8_percent_encode(name, SEGMENT));
    format!("{endpoint}/storage/v1/b/{bucket}/o/{name}?alt=media")
}
