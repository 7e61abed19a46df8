//! Shared by the test suites: a server in this process, on a free port of the loopback interface,
//! with its data in a temporary directory, and a client for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod job;
mod mounted;
mod server_log;
mod stock;
pub mod tenants;
pub mod tls;

use std::{ffi::OsString, path::Path, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::TokioExecutor,
};
use larder::{Larder, config::Config};
use tempfile::TempDir;

pub use self::{
    job::{BRANCH, Job},
    mounted::{MountedServer, accept},
    server_log::ServerLog,
    stock::{StockOptions, StockServer},
    tenants::TenantServer,
};

/// A policy component that misbehaves on request.
pub const HOSTILE_POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));
/// The secret that test tokens are signed with.
pub const SECRET: &str = "a secret that only the tests know";
/// Longest wait for a response before a test fails.
pub const RESPONSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// A configuration file in the data directory, which the server loads.
const CONFIG_FILE: &str = "larder.toml";
/// Short, because a test's client may keep a connection open while the server stops.
const QUICK_STOP: &str = "[server]\nshutdown_ms = 1000\n";

/// A server in this process.
pub struct TestServer {
    larder: Option<Larder>,
    /// Its data directory.
    pub data: TempDir,
    /// Scheme and authority of its address.
    pub base: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl TestServer {
    /// Starts a server with these environment variables on top of a minimal configuration.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_on(TempDir::new().expect("a temporary directory"), variables).await
    }

    /// Starts a server on existing data.
    pub async fn start_on(data: TempDir, variables: &[(&str, &str)]) -> Self {
        let file = data.path().join(CONFIG_FILE);
        if !file.exists() {
            std::fs::write(&file, QUICK_STOP).expect("the configuration is written");
        }
        let config = config(data.path(), Some(&file), variables);
        let larder = Box::pin(Larder::builder(config).build()).await.expect("the server starts");
        Self::around(larder, data)
    }

    /// Takes over a running server.
    pub fn around(larder: Larder, data: TempDir) -> Self {
        let base = format!("http://{}", larder.address().expect("it listens"));
        Self::around_at(larder, data, base)
    }

    /// Takes over a running server that is reached at this origin.
    pub fn around_at(larder: Larder, data: TempDir, base: String) -> Self {
        let client = tls::http_client(tls::client_config(None, None));
        Self { larder: Some(larder), data, base, client }
    }

    /// The same server, reached over TLS with these settings.
    #[must_use]
    pub fn over_tls(mut self, config: rustls::ClientConfig) -> Self {
        self.base = self.base.replacen("http://", "https://", 1);
        self.client = tls::http_client(config);
        self
    }

    /// The certificates that it serves.
    pub fn certificates(&self) -> Vec<larder::ServedCertificate> {
        self.larder.as_ref().map(Larder::certificates).unwrap_or_default()
    }

    /// Starts a server that must fail to start, and returns the error.
    pub async fn start_error(data: &TempDir, variables: &[(&str, &str)]) -> larder::StartError {
        let config = config(data.path(), Some(&data.path().join(CONFIG_FILE)), variables);
        Larder::builder(config).build().await.err().expect("the server does not start")
    }

    /// Starts a server with the hostile component. Sweeps are disabled: it would have all uploads
    /// abandoned.
    pub async fn start_hostile() -> Self {
        let data = TempDir::new().expect("a temporary directory");
        let policy = data.path().join("hostile.wasm");
        std::fs::write(&policy, HOSTILE_POLICY).expect("the component is written");
        let policy = policy.to_str().expect("a path in UTF-8").to_owned();
        let file = format!("{QUICK_STOP}[policy]\ndeadline_ms = 200\nmemory_bytes = 67108864\n");
        std::fs::write(data.path().join(CONFIG_FILE), file).expect("the configuration is written");
        let variables =
            [("LARDER_POLICY", policy.as_str()), ("LARDER_THREADS", "1"), ("DISABLE_CLEANUP_JOBS", "true")];
        Self::start_on(data, &variables).await
    }

    /// Stops the server and returns its data directory.
    pub fn stop(mut self) -> TempDir {
        if let Some(larder) = self.larder.take() {
            larder.stop();
        }
        std::mem::replace(&mut self.data, TempDir::new().expect("a temporary directory"))
    }

    /// Returns the address of the management API's own listener.
    pub fn management_address(&self) -> Option<std::net::SocketAddr> {
        self.larder.as_ref().and_then(Larder::management_address)
    }

    /// The server itself.
    pub fn larder(&self) -> &Larder {
        self.larder.as_ref().expect("it runs")
    }

    /// Returns how many instances of policies the tenants besides `default` have.
    pub fn tenant_instances(&self) -> Option<usize> {
        self.larder.as_ref().and_then(Larder::tenant_instances)
    }

    /// Returns what the server counts.
    pub fn metrics(&self) -> std::sync::Arc<larder::metrics::Metrics> {
        self.larder.as_ref().map(Larder::metrics).expect("it runs")
    }

    /// Returns what asks the rules of the server.
    pub fn rules(&self) -> &larder::rules::Asker {
        self.larder.as_ref().expect("it runs").rules()
    }

    /// Returns the usage of the server's resources for requests.
    pub fn usage(&self) -> Vec<larder::QuotaUsage> {
        self.larder.as_ref().map(Larder::usage).unwrap_or_default()
    }

    /// Sends a request and reads the whole response.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let exchange = exchange(&self.client, &self.base, method, target, headers, body.into());
        tokio::time::timeout(RESPONSE_TIMEOUT, exchange).await.expect("a response in time")
    }

    /// Sends a `GET` to a server that may not be there yet.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn try_get(&self, target: &str) -> anyhow::Result<Response> {
        let exchange = try_exchange(&self.client, &self.base, "GET", target, &[], Bytes::new());
        tokio::time::timeout(RESPONSE_TIMEOUT, exchange).await?
    }

    /// Sends a `GET` without header fields.
    pub async fn get(&self, target: &str) -> Response {
        self.send("GET", target, &[], Bytes::new()).await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(larder) = self.larder.take() {
            larder.stop();
        }
    }
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// A header field, or an empty string.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("plain text")).unwrap_or_default()
    }
}

/// The resident memory of this process, in KiB.
#[must_use]
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The configuration of a server with these environment variables, and no file.
pub fn test_config(data: &Path, variables: &[(&str, &str)]) -> Config {
    config(data, None, variables)
}

/// The configuration of a server with these lines in its file.
pub fn test_config_of_file(data: &Path, text: &str) -> Config {
    let file = data.join(CONFIG_FILE);
    std::fs::write(&file, text).expect("the configuration is written");
    config(data, Some(&file), &[])
}

fn config(data: &Path, file: Option<&Path>, variables: &[(&str, &str)]) -> Config {
    let mut all = vec![
        ("LARDER_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("LARDER_DATA".to_owned(), data.to_str().expect("a path in UTF-8").to_owned()),
        ("LARDER_HS256_SECRET".to_owned(), SECRET.to_owned()),
        ("LARDER_THREADS".to_owned(), "2".to_owned()),
        // Many servers at once: none takes the address of another.
        ("LARDER_MANAGEMENT_LISTEN".to_owned(), "off".to_owned()),
        ("DEFAULT_ACTIONS_RESULTS_URL".to_owned(), "none".to_owned()),
    ];
    for (name, value) in variables {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    let all = all.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(file, all).expect("a good configuration")
}

/// A server in another process.
pub struct RemoteServer {
    base: String,
    secret: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl RemoteServer {
    /// Returns the server at `LARDER_TEST_URL`, which accepts tokens signed with
    /// `LARDER_TEST_HS256_SECRET`.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let base = std::env::var("LARDER_TEST_URL").ok()?.trim_end_matches('/').to_owned();
        let secret = std::env::var("LARDER_TEST_HS256_SECRET").expect("LARDER_TEST_HS256_SECRET, too");
        Some(Self::at(base, secret))
    }

    /// Returns the server at this origin, which accepts tokens signed with `secret`.
    #[must_use]
    pub fn at(base: String, secret: String) -> Self {
        Self { base, secret, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Makes a token for this server.
    #[must_use]
    pub fn token(&self, repository: &str, scopes: &[(&str, u8)]) -> String {
        signed_token(self.secret.as_bytes(), repository, scopes)
    }

    /// Sends a request and reads the whole response. A large body is sent again if the connection is
    /// closed meanwhile: a stock `wasmtime serve` closes it behind an early response, and the client may
    /// see that first.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Bytes) -> Response {
        for _ in 1..LARGE_BODY_ATTEMPTS {
            let sent = try_exchange(&self.client, &self.base, method, target, headers, body.clone()).await;
            match sent {
                Err(error) if body.len() >= LARGE_BODY_BYTES && is_closed(&error) => {}
                response => return response.expect("a response"),
            }
        }
        exchange(&self.client, &self.base, method, target, headers, body).await
    }

    /// Like [`Self::send`], to a server that may be slow or stopped.
    ///
    /// # Errors
    /// If the response is not complete within `patience`.
    pub async fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        patience: std::time::Duration,
    ) -> anyhow::Result<Response> {
        let exchange = try_exchange(&self.client, &self.base, method, target, headers, body);
        tokio::time::timeout(patience, exchange)
            .await
            .map_err(|_| anyhow::anyhow!("{method} {target}: no response within {patience:?}"))?
    }
}

/// A body that does not fit into the buffers of a connection.
const LARGE_BODY_BYTES: usize = 1 << 20;
const LARGE_BODY_ATTEMPTS: usize = 5;

/// Returns whether the server has closed the connection.
fn is_closed(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.map(std::io::Error::kind).any(|kind| matches!(kind, BrokenPipe | ConnectionReset))
}

async fn exchange<C: Connect + Clone + Send + Sync + 'static>(
    client: &Client<C, Full<Bytes>>,
    base: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response {
    try_exchange(client, base, method, target, headers, body).await.expect("a response")
}

async fn try_exchange<C: Connect + Clone + Send + Sync + 'static>(
    client: &Client<C, Full<Bytes>>,
    base: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Response> {
    let url = if target.starts_with("http") { target.to_owned() } else { format!("{base}{target}") };
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).expect("a request");
    let (head, body) = client.request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response { status: head.status, headers: head.headers, body })
}

/// The issue time of all tokens, in seconds: a job has one token for all its requests, however long
/// it takes.
static NOW: LazyLock<u64> = LazyLock::new(|| {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
});

/// Makes a token for these scopes: name and permission bits (1 read, 2 write). Equal for equal
/// arguments, and valid for six hours.
#[must_use]
pub fn token(repository: &str, scopes: &[(&str, u8)]) -> String {
    signed_token(SECRET.as_bytes(), repository, scopes)
}

/// Makes a token of an issuer, signed with a secret, for [`BRANCH`].
#[must_use]
pub fn issued_token(secret: &[u8], issuer: &str, repository: &str) -> String {
    make_token(secret, Some(issuer), repository, &[(BRANCH, 3)])
}

/// Makes a token for [`BRANCH`] with further claims.
#[must_use]
pub fn token_with(repository: &str, further: &serde_json::Value) -> String {
    let mut claims = claims_of(None, repository, &[(BRANCH, 3)]);
    if let (Some(all), Some(further)) = (claims.as_object_mut(), further.as_object()) {
        all.extend(further.clone());
    }
    encode(SECRET.as_bytes(), &claims)
}

fn signed_token(secret: &[u8], repository: &str, scopes: &[(&str, u8)]) -> String {
    make_token(secret, None, repository, scopes)
}

fn make_token(secret: &[u8], issuer: Option<&str>, repository: &str, scopes: &[(&str, u8)]) -> String {
    encode(secret, &claims_of(issuer, repository, scopes))
}

fn claims_of(issuer: Option<&str>, repository: &str, scopes: &[(&str, u8)]) -> serde_json::Value {
    let now = *NOW;
    let scopes: Vec<_> =
        scopes.iter().map(|(name, bits)| serde_json::json!({ "Scope": name, "Permission": bits })).collect();
    let mut claims = serde_json::json!({
        "ac": serde_json::Value::from(scopes).to_string(),
        "repository_id": repository,
        "nbf": now - 10,
        "exp": now + 6 * 3600,
    });
    if let Some(issuer) = issuer {
        claims["iss"] = issuer.into();
    }
    claims
}

fn encode(secret: &[u8], claims: &serde_json::Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).expect("a token")
}
