//! Streaming uploads, with one request.
//!
//! The library's upload does not retry either, but it cannot be watched for stalls. So the request
//! is made here, with the library's tokens.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use gcloud_storage::http::objects::Object;
use parking_lot::Mutex;
use percent_encoding::utf8_percent_encode;
use reqwest::{Body, header};

use super::{
    calls::{CallError, Calls, STORING, Sum, classify},
    read::SEGMENT,
};
use crate::{
    Content, StorageError,
    bucket::stall::{StallDetector, UploadBody},
};

impl Calls {
    /// Stores an object and compares the service's checksum.
    pub(super) async fn send(
        &self,
        endpoint: &str,
        bucket: &str,
        name: String,
        content: Content,
    ) -> Result<Sum, StorageError> {
        let sum = Arc::new(Mutex::new(Sum::NOTHING));
        let stall = StallDetector::new(self.retry_policy.stall_timeouts());
        let length = content.length;
        let body = Body::wrap(UploadBody::new(summed(content, &sum), &stall));
        let url = upload_url(endpoint, bucket, &name);
        let stored = stall.run(STORING, self.post(&url, length, body)).await?;
        let stored = stored.map_err(|failure| failure.into_storage_error(STORING))?;
        let sum = *sum.lock();
        if let Err(differs) = sum.check(&stored) {
            self.delete(bucket, name).await?;
            return Err(differs.into_storage_error(STORING));
        }
        Ok(sum)
    }

    async fn post(&self, url: &str, length: u64, body: Body) -> Result<Object, CallError> {
        let request = self.connection.authorized(self.connection.http.post(url)).await?;
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        let sent = request.header(header::CONTENT_LENGTH, length).body(body).send().await;
        let failed = |error: reqwest::Error| classify(error.status().map(|s| s.as_u16()), Box::new(error));
        let response = sent.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let response = response.bytes().await.map_err(failed)?;
        serde_json::from_slice(&response).map_err(|error| CallError::Transient(Box::new(error)))
    }
}

/// Sums up the chunks that pass.
fn summed(content: Content, sum: &Arc<Mutex<Sum>>) -> Content {
    let sum = Arc::clone(sum);
    let add = move |chunk: &bytes::Bytes| {
        let mut sum = sum.lock();
        *sum = sum.and(chunk);
    };
    Content { length: content.length, chunks: content.chunks.inspect_ok(add).boxed() }
}

fn upload_url(endpoint: &str, bucket: &str, name: &str) -> String {
    let (bucket, name) = (utf8_percent_encode(bucket, SEGMENT), utf8_percent_encode(name, SEGMENT));
    format!("{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}")
}
