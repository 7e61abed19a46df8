//! What a tenant's clients try at another tenant: none of it succeeds, and nothing changes.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::net::SocketAddr;

use http::StatusCode;
use larder_tests::{
    Job, Response, TenantServer,
    tenants::{free_address, host_of, secret_of, write_section},
};
use tempfile::TempDir;

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
const V1: &str = "/_apis/artifactcache";

/// A request that must fail.
struct Attempt {
    host: String,
    /// Where it connects to; `None`: to the server's own listener.
    listener: Option<SocketAddr>,
    method: &'static str,
    target: String,
    /// Whose token it has.
    token: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Attempt {
    fn new(host: &str, method: &'static str, target: impl Into<String>) -> Self {
        let target = target.into();
        let host = host.to_owned();
        Self { host, listener: None, method, target, token: None, headers: Vec::new(), body: Vec::new() }
    }

    fn through(mut self, listener: SocketAddr) -> Self {
        self.listener = Some(listener);
        self
    }

    fn with_token(mut self, of: &'static str) -> Self {
        self.token = Some(of);
        self
    }

    fn with_json(mut self, body: &serde_json::Value) -> Self {
        self.headers.push(("content-type", "application/json".to_owned()));
        self.body = body.to_string().into_bytes();
        self
    }

    fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }

    async fn send(&self, server: &TenantServer) -> Response {
        let mut job = Job::at(&server.server, &self.host, "an unused secret of some length");
        if let Some(of) = self.token {
            job.bearer = server.job(of).bearer;
        }
        if let Some(listener) = self.listener {
            job = job.through(listener);
        }
        let mut headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let bearer = job.bearer.clone();
        if self.token.is_some() {
            headers.push(("authorization", bearer.as_str()));
        }
        job.send(self.method, &self.target, &headers, self.body.clone()).await
    }

    fn describe(&self) -> String {
        let Self { method, target, host, listener, token, .. } = self;
        format!("{method} {target} at {host} by {listener:?} with {token:?}")
    }
}

/// The path and query of a URL of a tenant.
fn target(url: &str, tenant: &str) -> String {
    url.strip_prefix(&format!("http://{}", host_of(tenant))).expect("a URL of the tenant").to_owned()
}

/// All that can be sent to a URL.
fn attempts_at_url(host: &str, url: &str) -> Vec<Attempt> {
    let and = |more: &str| format!("{url}&{more}");
    let list = b"<BlockList><Latest>AAAA</Latest></BlockList>".to_vec();
    vec![
        Attempt::new(host, "GET", url),
        Attempt::new(host, "HEAD", url),
        Attempt::new(host, "GET", url).with("range", "bytes=0-3"),
        Attempt::new(host, "PUT", url).with("x-ms-blob-type", "BlockBlob").body(b"evil"),
        Attempt::new(host, "PUT", url).with("x-ms-blob-type", "AppendBlob"),
        Attempt::new(host, "PUT", and("comp=block&blockid=AAAA")).body(b"evil"),
        Attempt::new(host, "PUT", and("comp=blocklist")).body(&list),
        Attempt::new(host, "PUT", and("comp=appendblock")).body(b"evil"),
        Attempt::new(host, "PUT", and("comp=seal")),
        Attempt::new(host, "DELETE", url),
    ]
}

impl Attempt {
    fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

/// All calls of both versions, with a token of one tenant at the host of the other.
fn attempts_with_token(host: &str, token: &'static str, number: &str) -> Vec<Attempt> {
    let key = serde_json::json!({ "key": "key", "version": "v", "restore_keys": ["k"], "size_bytes": 5 });
    let at = |method, target: String| Attempt::new(host, method, target).with_token(token);
    let range = "bytes 0-3/*";
    let mut attempts = Vec::new();
    for call in ["CreateCacheEntry", "FinalizeCacheEntryUpload", "GetCacheEntryDownloadURL"] {
        attempts.push(at("POST", format!("{SERVICE}/{call}")).with_json(&key));
        attempts.push(at("POST", format!("{SERVICE}/{call}")).with("content-type", "application/protobuf"));
    }
    attempts.extend([
        at("GET", format!("{V1}/cache?keys=key,k&version=v")),
        at("GET", format!("{V1}/caches?key=key")),
        at("POST", format!("{V1}/caches")).with_json(&key),
        at("PATCH", format!("{V1}/caches/{number}")).with("content-range", range).body(b"evil"),
        at("POST", format!("{V1}/caches/{number}")).with_json(&serde_json::json!({ "size": 4 })),
    ]);
    attempts
}

/// A number of version 1 of one tenant, at the other with the other's own token.
fn attempts_with_number(host: &str, token: &'static str, number: &str) -> Vec<Attempt> {
    let at = |method, target: String| Attempt::new(host, method, target).with_token(token);
    vec![
        at("PATCH", format!("{V1}/caches/{number}")).with("content-range", "bytes 0-3/*").body(b"evil"),
        at("POST", format!("{V1}/caches/{number}")).with_json(&serde_json::json!({ "size": 4 })),
    ]
}

fn check(attempt: &Attempt, response: &Response) {
    let what = attempt.describe();
    let status = response.status;
    assert!(status.is_client_error(), "{what}: {status} {}", response.text());
    let kind = response.header("content-type");
    let is_known = kind.starts_with("application/json") || kind.starts_with("application/xml");
    assert!(is_known || response.body.is_empty(), "{what}: {kind}");
    assert!(!response.text().to_lowercase().contains("<html"), "{what}: {}", response.text());
    assert!(!response.text().contains("of acme"), "{what}: {}", response.text());
}

#[tokio::test]
async fn nothing_of_a_tenant_is_of_any_use_at_another() {
    let server = TenantServer::start(&["acme", "umbrella"], &[]).await;
    let (acme, umbrella) = (server.job("acme"), server.job("umbrella"));
    acme.save("key", b"of acme").await;
    // So that ids and numbers of the same size exist at the other, too.
    umbrella.save("another", b"of umbrella").await;
    let (download, upload) = (acme.url("key").await, acme.create("begun").await);
    let reserved = acme
        .send(
            "POST",
            &format!("{V1}/caches"),
            &[("authorization", &acme.bearer), ("content-type", "application/json")],
            r#"{"key":"old","version":"v"}"#,
        )
        .await;
    assert_eq!(reserved.status, StatusCode::CREATED, "{}", reserved.text());
    let number = reserved.json()["cacheId"].to_string();

    let (own, other) = (host_of("acme"), host_of("umbrella"));
    let (download, upload) = (target(&download, "acme"), target(&upload, "acme"));
    let mut attempts = Vec::new();
    for host in [other.as_str(), "umbrella.test:8080", "UMBRELLA.test.", "nobody.test"] {
        attempts.extend(attempts_at_url(host, &download));
        attempts.extend(attempts_at_url(host, &upload));
    }
    // The tenant in the path is for those that issuers choose, and no other.
    for host in [other.as_str(), "nobody.test", own.as_str()] {
        for path in [format!("/@acme{download}"), format!("/@acme{upload}"), format!("//@acme{download}")] {
            attempts.push(Attempt::new(host, "GET", path.clone()));
            attempts.push(Attempt::new(host, "PUT", path).with("x-ms-blob-type", "BlockBlob").body(b"evil"));
        }
    }
    attempts.extend(attempts_with_token(&other, "acme", &number));
    attempts.extend(attempts_with_token(&own, "umbrella", &number));
    attempts.extend(attempts_with_token("nobody.test", "acme", &number));
    attempts.extend(attempts_with_number(&other, "umbrella", &number));
    assert!(attempts.len() > 100, "only {}", attempts.len());
    for attempt in &attempts {
        check(attempt, &attempt.send(&server).await);
    }

    // Nothing has changed.
    assert_eq!(acme.restore("key").await, "of acme");
    assert_eq!(umbrella.restore("another").await, "of umbrella");
    assert_eq!(umbrella.look_up("key", &["k", "b", "o"]).await["ok"], false);
    let put = acme.send("PUT", &upload, &[("x-ms-blob-type", "BlockBlob")], b"good".to_vec()).await;
    assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
    acme.finalize("begun", 4).await;
    assert_eq!(acme.restore("begun").await, "good");
    assert_ne!(secret_of("acme"), secret_of("umbrella"));
}

/// Listeners of their own: what is another's there is nothing, whatever host is named.
#[tokio::test]
async fn nothing_of_a_tenant_is_of_any_use_at_the_listener_of_another() {
    let data = TempDir::new().unwrap();
    let listeners = [free_address(), free_address()];
    for (name, listener) in ["acme", "umbrella"].into_iter().zip(listeners) {
        let section = format!("hosts = [\"{}\"]\nlisten = [\"{listener}\"]", host_of(name));
        write_section(data.path(), name, &section);
    }
    let [own, other] = listeners;
    let server = TenantServer::start_on(data, &[]).await;
    let at_own = || Job::at(&server.server, &own.to_string(), &secret_of("acme")).through(own);
    at_own().save("key", b"of acme").await;
    server.job("umbrella").save("another", b"of umbrella").await;
    // Signed at the one listener: they name its address.
    let (download, upload) = (at_own().url("key").await, at_own().create("begun").await);
    let path = |url: &str| url.strip_prefix(&format!("http://{own}")).unwrap().to_owned();
    let (download, upload) = (path(&download), path(&upload));

    let mut attempts = Vec::new();
    let hosts =
        [other.to_string(), host_of("umbrella"), "nobody.test".to_owned(), own.to_string(), host_of("acme")];
    for host in &hosts {
        attempts.extend(attempts_at_url(host, &download));
        attempts.extend(attempts_at_url(host, &upload));
        attempts.push(Attempt::new(host, "GET", format!("/@acme{download}")));
        attempts.push(Attempt::new(host, "GET", download.clone()).with("x-forwarded-host", "acme.test"));
        attempts.push(Attempt::new(host, "GET", download.clone()).with("forwarded", "host=acme.test"));
        attempts.extend(attempts_with_token(host, "acme", "1"));
    }
    let mut attempts: Vec<_> = attempts.into_iter().map(|attempt| attempt.through(other)).collect();
    // A tenant's own token and host, but at the listener of the other.
    let umbrellas = host_of("umbrella");
    attempts.extend(attempts_with_token(&umbrellas, "umbrella", "1").into_iter().map(|at| at.through(own)));
    assert!(attempts.len() > 150, "only {}", attempts.len());
    for attempt in &attempts {
        let response = attempt.send(&server).await;
        check(attempt, &response);
        let is_others = [host_of("acme"), umbrellas.clone()].contains(&attempt.host)
            && (attempt.host == umbrellas) == (attempt.listener == Some(own));
        if is_others {
            assert_eq!(response.status, StatusCode::NOT_FOUND, "{}", attempt.describe());
        }
    }

    assert_eq!(at_own().restore("key").await, "of acme");
    assert_eq!(server.job("umbrella").through(other).restore("another").await, "of umbrella");
    assert_eq!(server.job("umbrella").look_up("key", &["k", "b", "o"]).await["ok"], false);
}

/// Two `Host` fields, and a `Host` beside another authority in the target.
#[tokio::test]
async fn ambiguous_hosts_choose_no_tenant_or_the_one_of_the_field() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TenantServer::start(&["acme", "umbrella"], &[]).await;
    server.job("acme").save("key", b"of acme").await;
    let bearer = server.job("acme").bearer;
    let body = r#"{"key":"key","version":"v"}"#;
    let call = |target: &str, hosts: &str| {
        format!(
            "POST {target} HTTP/1.1\r\n{hosts}authorization: {bearer}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let path = format!("{SERVICE}/GetCacheEntryDownloadURL");
    for (request, status) in [
        (call(&path, "host: acme.test\r\n"), "200"),
        (call(&path, "host: acme.test\r\nhost: umbrella.test\r\n"), "400"),
        (call(&path, "host: umbrella.test\r\nhost: acme.test\r\n"), "400"),
        (call(&path, "host: acme.test, umbrella.test\r\n"), "400"),
        (call(&path, "host: umbrella.test@acme.test\r\n"), "400"),
        (call(&path, "host: umbrella.test\r\n"), "401"),
        (call(&format!("http://acme.test{path}"), "host: umbrella.test\r\n"), "401"),
        (call(&path, ""), "400"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.server.base.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        let response = String::from_utf8_lossy(&response);
        assert_eq!(&response[9..12], status, "{request}\n{response}");
        if status == "400" {
            assert!(!response.contains("signed_download_url"), "{response}");
        }
    }
}
