//! A job that saves and restores entries by protocol version 2.

use bytes::Bytes;
use http::StatusCode;

use crate::{Response, TestServer, token};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";

/// A job of a workflow, with its token. A call that fails is the end of the test.
pub struct Job<'a> {
    server: &'a TestServer,
    bearer: String,
}

impl<'a> Job<'a> {
    /// A job of repository 1, on its branch `main`.
    #[must_use]
    pub fn new(server: &'a TestServer) -> Self {
        Self { server, bearer: format!("Bearer {}", token("1", &[("main", 3)])) }
    }

    /// Makes a call of protocol version 2.
    pub async fn call(&self, call: &str, message: impl Into<Bytes>) -> Response {
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        self.server.send("POST", &format!("{SERVICE}/{call}"), &headers, message).await
    }

    /// Reserves a key, and returns the upload URL.
    pub async fn create(&self, key: &str) -> String {
        let message = format!(r#"{{"key":"{key}","version":"v"}}"#);
        let created = self.call("CreateCacheEntry", message).await;
        assert_eq!(created.status, StatusCode::OK, "{}", created.text());
        created.json()["signed_upload_url"].as_str().unwrap().to_owned()
    }

    /// Saves an entry.
    pub async fn save(&self, key: &str, content: &[u8]) {
        let url = self.create(key).await;
        let put = self.server.send("PUT", &url, &[], content.to_vec()).await;
        assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
        let message = format!(r#"{{"key":"{key}","version":"v","size_bytes":{}}}"#, content.len());
        let finalized = self.call("FinalizeCacheEntryUpload", message).await;
        assert_eq!(finalized.status, StatusCode::OK, "{}", finalized.text());
    }

    /// Returns the content of an entry.
    pub async fn restore(&self, key: &str) -> Bytes {
        let found =
            self.call("GetCacheEntryDownloadURL", format!(r#"{{"key":"{key}","version":"v"}}"#)).await;
        assert_eq!(found.status, StatusCode::OK, "{}", found.text());
        let url = found.json()["signed_download_url"].as_str().unwrap().to_owned();
        let download = self.server.get(&url).await;
        assert_eq!(download.status, StatusCode::OK, "{}", download.text());
        download.body
    }
}
