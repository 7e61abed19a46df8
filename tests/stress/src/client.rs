//! A client of the protocol that expects failures.

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

/// A job: a repository's token, and connections of its own.
pub struct Client {
    remote: RemoteServer,
    token: String,
    /// The longest wait for each answer.
    patience: Duration,
}

/// A hit.
#[derive(Debug)]
pub struct Hit {
    /// The key that matched.
    pub key: String,
    /// Where its content is.
    pub url: String,
}

impl Client {
    /// A job of a repository, with a longest wait for each answer.
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
    /// When there is no whole answer in time.
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
        let answer = self.send("POST", &format!("{SERVICE}/{name}"), &headers, message.to_string()).await?;
        ensure!(answer.status == 200, "{name}: {} {}", answer.status, answer.text());
        Ok(answer.json())
    }

    /// Reserves a key; returns where to send its content.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, key: &str) -> anyhow::Result<String> {
        let created = self.call("CreateCacheEntry", &json!({ "key": key, "version": VERSION })).await?;
        ensure!(created["ok"] == true, "create of {key}: {created}");
        created["signed_upload_url"].as_str().map(str::to_owned).context("no upload URL")
    }

    /// Makes an entry of what was sent.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn finalize(&self, key: &str, size: usize) -> anyhow::Result<()> {
        let message = json!({ "key": key, "version": VERSION, "size_bytes": size.to_string() });
        let made = self.call("FinalizeCacheEntryUpload", &message).await?;
        ensure!(made["ok"] == true, "finalize of {key}: {made}");
        Ok(())
    }

    /// Looks for a key, then for what begins with one of the others.
    ///
    /// # Errors
    /// When there is no right answer.
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
    /// When it is refused.
    pub async fn put(&self, url: &str, content: Bytes) -> anyhow::Result<()> {
        self.blob(url, &[("x-ms-blob-type", "BlockBlob")], content).await
    }

    /// Sends a block. The number is its id.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_block(&self, url: &str, number: usize, content: Bytes) -> anyhow::Result<()> {
        self.blob(&block_url(url, number), &[], content).await
    }

    /// Commits the blocks with these numbers.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_list(&self, url: &str, count: usize) -> anyhow::Result<()> {
        self.blob(&format!("{url}&comp=blocklist"), &[], block_list(count).into()).await
    }

    /// Makes an append blob of these pieces.
    ///
    /// # Errors
    /// When one is refused.
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
    /// When it is refused.
    pub async fn put_piece(&self, url: &str, piece: Bytes) -> anyhow::Result<()> {
        self.blob(&format!("{url}&comp=appendblock"), &[("x-ms-blob-type", "AppendBlob")], piece).await
    }

    async fn blob(&self, url: &str, headers: &[(&str, &str)], content: Bytes) -> anyhow::Result<()> {
        let answer = self.send("PUT", url, headers, content).await?;
        ensure!(answer.status == 201, "PUT: {} {}", answer.status, answer.header("x-ms-error-code"));
        Ok(())
    }

    /// Reserves a key by version 1; returns the number of the upload.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn reserve(&self, key: &str) -> anyhow::Result<u64> {
        let message = json!({ "key": key, "version": VERSION }).to_string();
        let answer =
            self.version1("POST", "caches", &[("content-type", "application/json")], message).await?;
        ensure!(answer.status == 201, "reserve: {} {}", answer.status, answer.text());
        answer.json()["cacheId"].as_u64().context("no number")
    }

    /// Sends a chunk by version 1.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn patch(&self, id: u64, start: usize, content: Bytes) -> anyhow::Result<()> {
        let range = format!("bytes {start}-{}/*", start + content.len() - 1);
        let headers = [("content-range", range.as_str()), ("content-type", "application/octet-stream")];
        let answer = self.version1("PATCH", &format!("caches/{id}"), &headers, content).await?;
        ensure!(answer.status == 204, "chunk: {} {}", answer.status, answer.text());
        Ok(())
    }

    /// Makes an entry of the chunks by version 1.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn commit(&self, id: u64, size: usize) -> anyhow::Result<()> {
        let message = json!({ "size": size }).to_string();
        let headers = [("content-type", "application/json")];
        let answer = self.version1("POST", &format!("caches/{id}"), &headers, message).await?;
        ensure!(answer.status == 204, "commit: {} {}", answer.status, answer.text());
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
    /// When a step is refused.
    pub async fn save(&self, key: &str, content: Bytes) -> anyhow::Result<()> {
        let size = content.len();
        let url = self.create(key).await?;
        self.put(&url, content).await?;
        self.finalize(key, size).await
    }

    /// Downloads what is behind a URL.
    ///
    /// # Errors
    /// When it is not all there.
    pub async fn download(&self, url: &str) -> anyhow::Result<Bytes> {
        let answer = self.send("GET", url, &[], Bytes::new()).await?;
        ensure!(answer.status == 200, "download: {} {}", answer.status, answer.text());
        Ok(answer.body)
    }

    /// Restores an entry that has to be there.
    ///
    /// # Errors
    /// When it is not, or a step fails.
    pub async fn restore(&self, key: &str) -> anyhow::Result<Bytes> {
        match self.lookup(key, &[]).await? {
            Some(hit) => self.download(&hit.url).await,
            None => bail!("{key} is not found"),
        }
    }
}

/// Where a block goes.
#[must_use]
pub fn block_url(url: &str, number: usize) -> String {
    format!("{url}&comp=block&blockid={}", block_id(number))
}

/// The list of the blocks 0 to `count`, without that one.
#[must_use]
pub fn block_list(count: usize) -> String {
    let ids: String = (0..count).map(|number| format!("<Latest>{}</Latest>", block_id(number))).collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>")
}

/// Base64 of digits, without padding: no character of it means anything in a URL.
fn block_id(number: usize) -> String {
    format!("MDAw{number:08}")
}

/// Random bytes that a seed repeats.
#[must_use]
pub fn content(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}
