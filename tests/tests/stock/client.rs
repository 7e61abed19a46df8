//! A client that survives a server that does not.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use larder_tests::{RemoteServer, Response, SECRET, StockServer};
use serde_json::{Value, json};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with a token of its own.
pub struct Client {
    remote: RemoteServer,
    bearer: String,
}

/// Bytes that tell where they are from.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut random = byte_source(seed);
    (0..length).map(|_| random()).collect()
}

fn byte_source(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

impl Client {
    pub fn of(server: &StockServer) -> Self {
        Self::at(&server.base)
    }

    pub fn at(base: &str) -> Self {
        let remote = RemoteServer::at(base.to_owned(), SECRET.to_owned());
        let bearer = format!("Bearer {}", remote.token("1", &[("refs/heads/main", 3)]));
        Self { remote, bearer }
    }

    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.remote.send(method, target, headers, Bytes::copy_from_slice(body.as_bytes())).await
    }

    async fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        self.remote.try_send(method, target, headers, Bytes::copy_from_slice(body), PATIENCE).await
    }

    async fn call(&self, name: &str, message: &Value) -> anyhow::Result<Response> {
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        self.try_send("POST", &format!("{SERVICE}/{name}"), &headers, message.to_string().as_bytes()).await
    }

    pub async fn create(&self, key: &str) -> anyhow::Result<Response> {
        self.call("CreateCacheEntry", &json!({ "key": key, "version": "v" })).await
    }

    /// Reserves a free key, and returns the upload URL.
    pub async fn reserve(&self, key: &str) -> String {
        let created = self.create(key).await.unwrap();
        assert_eq!(created.json()["ok"], true, "{}", created.text());
        created.json()["signed_upload_url"].as_str().unwrap().to_owned()
    }

    pub async fn put(&self, url: &str, content: &[u8]) -> anyhow::Result<Response> {
        self.try_send("PUT", url, &[("x-ms-blob-type", "BlockBlob")], content).await
    }

    pub async fn put_block(&self, url: &str, id: &str, content: &[u8]) -> anyhow::Result<Response> {
        let id = base64::engine::general_purpose::URL_SAFE.encode(id).replace('=', "%3D");
        self.try_send("PUT", &format!("{url}&comp=block&blockid={id}"), &[], content).await
    }

    pub async fn put_list(&self, url: &str, ids: &[&str]) -> anyhow::Result<Response> {
        let encode = |id: &&str| base64::engine::general_purpose::URL_SAFE.encode(id);
        let latest: String = ids.iter().map(|id| format!("<Latest>{}</Latest>", encode(id))).collect();
        let xml = format!("<BlockList>{latest}</BlockList>");
        self.try_send("PUT", &format!("{url}&comp=blocklist"), &[], xml.as_bytes()).await
    }

    /// Finalizes an upload. `Ok` means that the entry was acknowledged.
    pub async fn finalize(&self, key: &str, size: usize) -> anyhow::Result<()> {
        let message = json!({ "key": key, "version": "v", "size_bytes": size.to_string() });
        let response = self.call("FinalizeCacheEntryUpload", &message).await?;
        anyhow::ensure!(response.status == 200 && response.json()["ok"] == true, "{}", response.text());
        Ok(())
    }

    /// Saves an entry; whether it is acknowledged.
    pub async fn try_save(&self, key: &str, content: &[u8], blocks: usize) -> anyhow::Result<()> {
        let created = self.create(key).await?;
        anyhow::ensure!(created.status == 200 && created.json()["ok"] == true, "{}", created.text());
        let url = created.json()["signed_upload_url"].as_str().unwrap_or_default().to_owned();
        if blocks == 0 {
            anyhow::ensure!(self.put(&url, content).await?.status == 201);
            return self.finalize(key, content.len()).await;
        }
        let ids: Vec<String> = (0..blocks).map(|number| format!("{number:04}")).collect();
        for (id, piece) in ids.iter().zip(content.chunks(content.len().div_ceil(blocks))) {
            anyhow::ensure!(self.put_block(&url, id, piece).await?.status == 201);
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        anyhow::ensure!(self.put_list(&url, &ids).await?.status == 201);
        self.finalize(key, content.len()).await
    }

    pub async fn save(&self, key: &str, content: &[u8]) {
        self.try_save(key, content, 0).await.unwrap();
    }

    /// Returns the download URL of an entry, or `None` for a miss.
    pub async fn url(&self, key: &str) -> Option<String> {
        self.found(key, &[]).await["signed_download_url"]
            .as_str()
            .filter(|url| !url.is_empty())
            .map(str::to_owned)
    }

    /// Returns the result of a look-up.
    pub async fn found(&self, key: &str, restore_keys: &[&str]) -> Value {
        let message = json!({ "key": key, "version": "v", "restore_keys": restore_keys });
        let response = self.call("GetCacheEntryDownloadURL", &message).await.unwrap();
        assert_eq!(response.status.as_u16(), 200, "{}", response.text());
        response.json()
    }

    /// Returns an entry's content, or `None` for a miss.
    pub async fn restore(&self, key: &str) -> Option<Vec<u8>> {
        let url = self.url(key).await?;
        let response = self.send("GET", &url, &[], "").await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.text());
        Some(response.body.to_vec())
    }
}
