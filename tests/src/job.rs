//! A job that saves and restores entries by protocol version 2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Response, TestServer, signed_token, token};

/// The branch of a job, which is where its entries are.
pub const BRANCH: &str = "refs/heads/main";

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
const VERSION: &str = "v";

/// A job of a workflow, with its token. A call that fails is the end of the test.
pub struct Job<'a> {
    server: &'a TestServer,
    /// The host that it asks; `None`: the address of the server.
    host: Option<String>,
    /// Where it connects to; `None`: to the address of the server.
    through: Option<SocketAddr>,
    /// Its `Authorization`.
    pub bearer: String,
}

impl<'a> Job<'a> {
    /// A job of repository 1.
    #[must_use]
    pub fn new(server: &'a TestServer) -> Self {
        Self::of(server, "1")
    }

    /// A job of this repository.
    #[must_use]
    pub fn of(server: &'a TestServer, repository: &str) -> Self {
        Self {
            server,
            host: None,
            through: None,
            bearer: format!("Bearer {}", token(repository, &[(BRANCH, 3)])),
        }
    }

    /// A job of repository 1 that asks this host, with a token of this secret.
    #[must_use]
    pub fn at(server: &'a TestServer, host: &str, secret: &str) -> Self {
        let token = signed_token(secret.as_bytes(), "1", &[(BRANCH, 3)]);
        Self { server, host: Some(host.to_owned()), through: None, bearer: format!("Bearer {token}") }
    }

    /// The same, by another listener of the server.
    #[must_use]
    pub fn through(self, listener: SocketAddr) -> Self {
        Self { through: Some(listener), ..self }
    }

    /// A job with this token.
    #[must_use]
    pub fn with_token(server: &'a TestServer, token: &str) -> Self {
        Self { server, host: None, through: None, bearer: format!("Bearer {token}") }
    }

    /// Sends a request to the host of the job. A URL that the server made begins with that host.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let Some(host) = &self.host else { return self.server.send(method, target, headers, body).await };
        let origin = format!("http://{host}");
        let headers: Vec<_> = headers.iter().copied().chain([("host", host.as_str())]).collect();
        let target = target.strip_prefix(&origin).unwrap_or(target);
        match &self.through {
            Some(listener) => {
                self.server.send(method, &format!("http://{listener}{target}"), &headers, body).await
            }
            None => self.server.send(method, target, &headers, body).await,
        }
    }

    /// Makes a call of protocol version 2.
    pub async fn call(&self, call: &str, message: impl Into<Bytes>) -> Response {
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
            ("user-agent", "@actions/cache-6.3.0"),
        ];
        self.send("POST", &format!("{SERVICE}/{call}"), &headers, message).await
    }

    /// Makes a call about a key, with more fields, and returns its response whatever it is.
    pub async fn call_about(&self, call: &str, key: &str, more: Value) -> Response {
        let mut message = json!({ "key": key, "version": VERSION });
        message.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.call(call, message.to_string()).await
    }

    /// Looks a key up, and returns the status whatever it is.
    pub async fn probe(&self) -> StatusCode {
        self.call_about("GetCacheEntryDownloadURL", "key", json!({})).await.status
    }

    /// Reserves a key, and returns the upload URL.
    pub async fn create(&self, key: &str) -> String {
        let created = self.call_about("CreateCacheEntry", key, json!({})).await;
        assert_eq!(created.status, StatusCode::OK, "{}", created.text());
        created.json()["signed_upload_url"].as_str().unwrap().to_owned()
    }

    /// Finalizes an upload.
    pub async fn finalize(&self, key: &str, size_bytes: usize) {
        let size = json!({ "size_bytes": size_bytes });
        let finalized = self.call_about("FinalizeCacheEntryUpload", key, size).await;
        assert_eq!(finalized.status, StatusCode::OK, "{}", finalized.text());
        assert_eq!(finalized.json()["ok"], true, "{}", finalized.text());
    }

    /// Saves an entry.
    pub async fn save(&self, key: &str, content: &[u8]) {
        let url = self.create(key).await;
        let headers = [("x-ms-blob-type", "BlockBlob")];
        let put = self.send("PUT", &url, &headers, content.to_vec()).await;
        assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
        self.finalize(key, content.len()).await;
    }

    /// Looks a key up.
    pub async fn look_up(&self, key: &str, restore_keys: &[&str]) -> Value {
        let more = json!({ "restore_keys": restore_keys });
        let found = self.call_about("GetCacheEntryDownloadURL", key, more).await;
        assert_eq!(found.status, StatusCode::OK, "{}", found.text());
        found.json()
    }

    /// Returns the download URL of an entry.
    pub async fn url(&self, key: &str) -> String {
        let found = self.look_up(key, &[]).await;
        found["signed_download_url"].as_str().filter(|url| !url.is_empty()).expect("a hit").to_owned()
    }

    /// Returns the content of an entry.
    pub async fn restore(&self, key: &str) -> Bytes {
        let download = self.send("GET", &self.url(key).await, &[], Bytes::new()).await;
        assert_eq!(download.status, StatusCode::OK, "{}", download.text());
        download.body
    }
}
