//! A client of the protocol that reports failures as errors.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use larder_tests::{RemoteServer, Response, SECRET};
use serde_json::{Value, json};

use crate::server::Server;

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
const SCOPE: &str = "refs/heads/main";
const READ_WRITE: u8 = 3;
/// All entries have this version.
const VERSION: &str = "5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f";

/// A job, with a token for its repository and its own connections.
pub struct Client {
    remote: RemoteServer,
    token: String,
    /// The longest wait for a response.
    patience: Duration,
}

/// A hit.
#[derive(Debug)]
pub struct Hit {
    /// The key that matched.
    pub key: String,
    /// The URL of its content.
    pub url: String,
}

impl Client {
    /// Makes a job of a repository, with this longest wait for a response.
    #[must_use]
    pub fn new(server: &Server, repository: &str, patience: Duration) -> Self {
        let token = larder_tests::token(repository, &[(SCOPE, READ_WRITE)]);
        Self { remote: RemoteServer::at(server.base(), SECRET.to_owned()), token, patience }
    }

    /// The token of the job.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If the response is not complete in time.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Response> {
        self.remote.try_send(method, target, headers, body.into(), self.patience).await
    }

    async fn call(&self, name: &str, message: &Value) -> anyhow::Result<Value> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let response = self.send("POST", &format!("{SERVICE}/{name}"), &headers, message.to_string()).await?;
        ensure!(response.status == 200, "{name}: {} {}", response.status, response.text());
        Ok(response.json())
    }

    /// Reserves a key and returns the upload URL.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create(&self, key: &str) -> anyhow::Result<String> {
        let created = self.call("CreateCacheEntry", &json!({ "key": key, "version": VERSION })).await?;
        ensure!(created["ok"] == true, "create of {key}: {created}");
        created["signed_upload_url"].as_str().map(str::to_owned).context("no upload URL")
    }

    /// Finalizes an upload.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn finalize(&self, key: &str, size: usize) -> anyhow::Result<()> {
        let message = json!({ "key": key, "version": VERSION, "size_bytes": size.to_string() });
        let made = self.call("FinalizeCacheEntryUpload", &message).await?;
        ensure!(made["ok"] == true, "finalize of {key}: {made}");
        Ok(())
    }

    /// Looks up a key, then the restore keys.
    ///
    /// # Errors
    /// If the response is not a valid hit or miss.
    pub async fn lookup(&self, key: &str, restore_keys: &[&str]) -> anyhow::Result<Option<Hit>> {
        let message = json!({ "key": key, "version": VERSION, "restore_keys": restore_keys });
        let found = self.call("GetCacheEntryDownloadURL", &message).await?;
        if found["ok"] != true {
            return Ok(None);
        }
        let text = |name: &str| found[name].as_str().map(str::to_owned).context("a field is missing");
        Ok(Some(Hit { key: text("matched_key")?, url: text("signed_download_url")? }))
    }

    /// Sends a whole blob.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn put(&self, url: &str, content: Bytes) -> anyhow::Result<()> {
        self.blob(url, &[("x-ms-blob-type", "BlockBlob")], content).await
    }

    /// Sends a block whose id is the number.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn put_block(&self, url: &str, number: usize, content: Bytes) -> anyhow::Result<()> {
        self.blob(&block_url(url, number), &[], content).await
    }

    /// Commits the blocks with these numbers.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn put_list(&self, url: &str, count: usize) -> anyhow::Result<()> {
        self.blob(&format!("{url}&comp=blocklist"), &[], block_list(count).into()).await
    }

    /// Makes an append blob from these pieces.
    ///
    /// # Errors
    /// If one is refused.
    pub async fn append(&self, url: &str, pieces: &[Bytes]) -> anyhow::Result<()> {
        self.blob(url, &[("x-ms-blob-type", "AppendBlob")], Bytes::new()).await?;
        for piece in pieces {
            self.put_piece(url, piece.clone()).await?;
        }
        Ok(())
    }

    /// Appends a piece to an append blob.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn put_piece(&self, url: &str, piece: Bytes) -> anyhow::Result<()> {
        self.blob(&format!("{url}&comp=appendblock"), &[("x-ms-blob-type", "AppendBlob")], piece).await
    }

    async fn blob(&self, url: &str, headers: &[(&str, &str)], content: Bytes) -> anyhow::Result<()> {
        let response = self.send("PUT", url, headers, content).await?;
        ensure!(response.status == 201, "PUT: {} {}", response.status, response.header("x-ms-error-code"));
        Ok(())
    }

    /// Reserves a key by version 1 and returns the number of the upload.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn reserve(&self, key: &str) -> anyhow::Result<u64> {
        let message = json!({ "key": key, "version": VERSION }).to_string();
        let response =
            self.version1("POST", "caches", &[("content-type", "application/json")], message).await?;
        ensure!(response.status == 201, "reserve: {} {}", response.status, response.text());
        response.json()["cacheId"].as_u64().context("no number")
    }

    /// Sends a chunk by version 1.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn patch(&self, id: u64, start: usize, content: Bytes) -> anyhow::Result<()> {
        let range = format!("bytes {start}-{}/*", start + content.len() - 1);
        let headers = [("content-range", range.as_str()), ("content-type", "application/octet-stream")];
        let response = self.version1("PATCH", &format!("caches/{id}"), &headers, content).await?;
        ensure!(response.status == 204, "chunk: {} {}", response.status, response.text());
        Ok(())
    }

    /// Finalizes the chunks by version 1.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn commit(&self, id: u64, size: usize) -> anyhow::Result<()> {
        let message = json!({ "size": size }).to_string();
        let headers = [("content-type", "application/json")];
        let response = self.version1("POST", &format!("caches/{id}"), &headers, message).await?;
        ensure!(response.status == 204, "commit: {} {}", response.status, response.text());
        Ok(())
    }

    async fn version1(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Response> {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        self.send(method, &format!("/_apis/artifactcache/{path}"), &all, body).await
    }

    /// Saves an entry as one blob.
    ///
    /// # Errors
    /// If a step is refused.
    pub async fn save(&self, key: &str, content: Bytes) -> anyhow::Result<()> {
        let size = content.len();
        let url = self.create(key).await?;
        self.put(&url, content).await?;
        self.finalize(key, size).await
    }

    /// Downloads from a URL.
    ///
    /// # Errors
    /// If it is incomplete.
    pub async fn download(&self, url: &str) -> anyhow::Result<Bytes> {
        let response = self.send("GET", url, &[], Bytes::new()).await?;
        ensure!(response.status == 200, "download: {} {}", response.status, response.text());
        Ok(response.body)
    }

    /// Restores an entry that must exist.
    ///
    /// # Errors
    /// If it does not exist, or a step fails.
    pub async fn restore(&self, key: &str) -> anyhow::Result<Bytes> {
        match self.lookup(key, &[]).await? {
            Some(hit) => self.download(&hit.url).await,
            None => bail!("{key} is not found"),
        }
    }
}

/// Returns the URL of a block.
#[must_use]
pub fn block_url(url: &str, number: usize) -> String {
    format!("{url}&comp=block&blockid={}", block_id(number))
}

/// Returns the list of the blocks from 0 to `count` (exclusive).
#[must_use]
pub fn block_list(count: usize) -> String {
    let ids: String = (0..count).map(|number| format!("<Latest>{}</Latest>", block_id(number))).collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>")
}

/// Returns digits in base64 without padding, so that no character needs encoding in a URL.
fn block_id(number: usize) -> String {
    format!("MDAw{number:08}")
}

/// Returns random bytes determined by a seed.
#[must_use]
pub fn content(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}
