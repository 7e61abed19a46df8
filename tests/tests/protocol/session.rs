//! A client of the protocol with one method per step.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base64::Engine as _;
use bytes::Bytes;
use larder_tests::Response;
use serde_json::{Value, json};

use super::targets::Target;

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";

/// A target, and a repository in it that no other session uses.
pub struct Session {
    target: Target,
    pub repository: String,
}

impl Session {
    pub fn new(target: Target) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let repository = format!("{}{:04}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        Self { target, repository }
    }

    /// Makes a token for this session's repository.
    pub fn token(&self, scopes: &[(&str, u8)]) -> String {
        self.target.token(&self.repository, scopes)
    }

    /// Makes a token that may read and write the scope `main`.
    pub fn main(&self) -> String {
        self.token(&[("refs/heads/main", 3)])
    }

    pub fn token_of(&self, repository: &str, scopes: &[(&str, u8)]) -> String {
        self.target.token(repository, scopes)
    }

    /// Lets a client's first back-off pass: one second, plus the tolerance for clocks.
    pub async fn wait_for_back_off(&self) {
        self.target.let_pass(1050).await;
    }

    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        self.target.send(method, target, headers, body.into()).await
    }

    /// Calls a method of the cache service with any body.
    pub async fn raw_call(&self, name: &str, token: &str, kind: &str, body: impl Into<Bytes>) -> Response {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        self.send("POST", &format!("{SERVICE}/{name}"), &headers, body).await
    }

    /// Calls a method of the cache service in JSON.
    pub async fn call(&self, name: &str, token: &str, message: &Value) -> Response {
        let response = self.raw_call(name, token, "application/json", message.to_string()).await;
        assert_eq!(response.header("content-type"), "application/json", "{name}");
        response
    }

    pub async fn create(&self, token: &str, key: &str) -> Response {
        self.call("CreateCacheEntry", token, &json!({ "key": key, "version": "v" })).await
    }

    /// Reserves a free key and returns the upload URL.
    pub async fn reserve(&self, token: &str, key: &str) -> String {
        let response = self.create(token, key).await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["ok"]),
            (200, &json!(true)),
            "{}",
            response.text()
        );
        response.json()["signed_upload_url"].as_str().unwrap().to_owned()
    }

    pub async fn finalize(&self, token: &str, key: &str, size: usize) -> Response {
        let message = json!({ "key": key, "version": "v", "size_bytes": size.to_string() });
        self.call("FinalizeCacheEntryUpload", token, &message).await
    }

    /// Finalizes an upload and returns the entry's id.
    pub async fn finish(&self, token: &str, key: &str, size: usize) -> String {
        let response = self.finalize(token, key, size).await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["ok"]),
            (200, &json!(true)),
            "{}",
            response.text()
        );
        response.json()["entry_id"].as_str().expect("a string of digits").to_owned()
    }

    /// Saves an entry in all steps.
    pub async fn save(&self, token: &str, key: &str, content: &[u8]) -> String {
        let url = self.reserve(token, key).await;
        assert_eq!(self.put(&url, content).await.status.as_u16(), 201);
        self.finish(token, key, content.len()).await
    }

    pub async fn lookup(&self, token: &str, key: &str, restore_keys: &[&str]) -> Value {
        let message = json!({ "key": key, "version": "v", "restore_keys": restore_keys });
        let response = self.call("GetCacheEntryDownloadURL", token, &message).await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.text());
        response.json()
    }

    /// Returns the key that a lookup matches, or `None`.
    pub async fn matched(&self, token: &str, key: &str, restore_keys: &[&str]) -> Option<String> {
        let found = self.lookup(token, key, restore_keys).await;
        found["ok"].as_bool().unwrap().then(|| found["matched_key"].as_str().unwrap().to_owned())
    }

    /// Returns the download URL of an existing entry.
    pub async fn url(&self, token: &str, key: &str) -> String {
        self.lookup(token, key, &[]).await["signed_download_url"].as_str().expect("a hit").to_owned()
    }

    /// Returns the content of an existing entry.
    pub async fn content(&self, token: &str, key: &str) -> Bytes {
        let response = self.send("GET", &self.url(token, key).await, &[], "").await;
        assert_eq!(response.status.as_u16(), 200);
        response.body
    }

    pub async fn put(&self, url: &str, content: &[u8]) -> Response {
        self.blob(url, &[("x-ms-blob-type", "BlockBlob")], content).await
    }

    pub async fn put_block(&self, url: &str, id: &str, content: &[u8]) -> Response {
        self.blob(&format!("{url}&comp=block&blockid={}", encoded(id)), &[], content).await
    }

    pub async fn put_list(&self, url: &str, ids: &[&str]) -> Response {
        let latest: String = ids.iter().map(|id| format!("<Latest>{}</Latest>", base64(id))).collect();
        self.put_xml(
            url,
            &format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{latest}</BlockList>"),
        )
        .await
    }

    pub async fn put_xml(&self, url: &str, list: &str) -> Response {
        self.blob(&format!("{url}&comp=blocklist"), &[("content-type", "application/xml")], list.as_bytes())
            .await
    }

    /// Checks that a blob response has a request id, and that an error is described in XML.
    pub async fn blob(&self, url: &str, headers: &[(&str, &str)], content: &[u8]) -> Response {
        let response = self.send("PUT", url, headers, content.to_vec()).await;
        assert!(!response.header("x-ms-request-id").is_empty());
        if response.status.is_client_error() {
            assert_is_azure_error(&response);
        } else {
            assert_eq!((response.status.as_u16(), response.body.len()), (201, 0));
        }
        response
    }
}

pub fn assert_is_azure_error(response: &Response) {
    assert_eq!(response.header("content-type"), "application/xml");
    let code = response.header("x-ms-error-code");
    assert!(
        !code.is_empty() && response.text().contains(&format!("<Code>{code}</Code>")),
        "{}",
        response.text()
    );
}

/// Returns a block id as clients send it in a list.
pub fn base64(id: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(id)
}

/// Returns a block id as clients send it in a URL.
fn encoded(id: &str) -> String {
    base64(id).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
