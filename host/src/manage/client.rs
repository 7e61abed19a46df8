//! Asks the management API: of a server over HTTP, or of the data that the configuration names.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{
    LocalManagement,
    config::{Client as ClientConfig, Config, Secret},
};
use serde_json::Value;

/// Longest wait for a response. A sweep responds after half a minute.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Longest response that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// Where the management API is.
pub(crate) enum Client {
    Remote(Box<Remote>),
    Local(LocalManagement),
}

/// A server.
pub(crate) struct Remote {
    url: String,
    key: Secret,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// Returns the server at this URL, or at that of the environment; without either, the data that the
    /// configuration names.
    ///
    /// # Errors
    /// When neither can be used.
    pub(crate) async fn open(url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(remote) = Self::remote(url)? {
            return Ok(remote);
        }
        let config = Config::from_process(file)?;
        let opened = LocalManagement::open(config).await.context("opening what the server has")?;
        Ok(Self::Local(opened))
    }

    /// The same; without a server the data is made where it is missing.
    ///
    /// # Errors
    /// When neither can be used.
    pub(crate) async fn open_fresh(url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(remote) = Self::remote(url)? {
            return Ok(remote);
        }
        let config = Config::from_process(file)?;
        let opened = LocalManagement::open_fresh(config).await.context("opening what the server has")?;
        Ok(Self::Local(opened))
    }

    /// Returns the server at this URL, or at that of the environment; `None` without either.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn remote(url: Option<&str>) -> anyhow::Result<Option<Self>> {
        let ClientConfig { url: of_environment, key } = ClientConfig::from_process();
        let url = url.map(str::to_owned).or(of_environment);
        url.map(|url| Remote::new(&url, key).map(|remote| Self::Remote(Box::new(remote)))).transpose()
    }

    /// Makes a call of `/api/v1`, and returns the JSON of its response; null if it has none.
    ///
    /// # Errors
    /// With the message of the API if it refuses.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, body) = self.send(method, path, query, body).await?;
        if body.is_empty() { Ok(Value::Null) } else { parse(&body, status) }
    }

    /// Asks for a text that is no JSON.
    pub(crate) async fn text(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        let (_, body) = self.send(Method::GET, path, query, None).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Fails where the server refuses.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let target = target(path, query);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let (status, body) = match self {
            Self::Remote(remote) => remote.call(method, &target, body).await?,
            Self::Local(local) => local.call(method, &target, body).await?,
        };
        if !status.is_success() {
            let json = if body.is_empty() { Value::Null } else { parse(&body, status)? };
            let message = json.pointer("/error/message").and_then(Value::as_str);
            bail!("{}", message.unwrap_or("the server refuses, and does not say why"));
        }
        Ok((status, body))
    }
}

fn parse(body: &[u8], status: StatusCode) -> anyhow::Result<Value> {
    serde_json::from_slice(body).with_context(|| {
        format!("what responds ({status}) is not Larder's management API: is LARDER_URL its address?")
    })
}

fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = format!("/api/v1{path}");
    if !query.is_empty() {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        target = format!("{target}?{query}");
    }
    target
}

/// Encodes a part of a path.
pub(crate) fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Longest address of a request, in bytes: what the library and the server take.
const MAX_ADDRESS_BYTES: usize = 65_000;

impl Remote {
    fn new(url: &str, key: Option<Secret>) -> anyhow::Result<Self> {
        ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "LARDER_URL is `{url}`; it must be like http://127.0.0.1:3001"
        );
        let key = key.context("LARDER_API_KEY is not set; `larder key new` makes a key")?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .context("reading the system's certificates")?
            .https_or_http()
            .enable_http1()
            .build();
        let http = HttpClient::builder(TokioExecutor::new()).build(https);
        Ok(Self { url: url.trim_end_matches('/').to_owned(), key, http })
    }

    async fn call(&self, method: Method, target: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        ensure!(
            self.url.len() + target.len() <= MAX_ADDRESS_BYTES,
            "this is too long for a request: ask for less at once, or on the server's machine without LARDER_URL"
        );
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .context("LARDER_URL or LARDER_API_KEY cannot be sent")?;
        let exchange = async {
            let response = self.http.request(request).await?;
            let status = response.status();
            let body = http_body_util::Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            Ok::<_, anyhow::Error>((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
        };
        let responded = tokio::time::timeout(TIMEOUT, exchange).await;
        responded.context("no response")?.with_context(|| format!("asking {}", self.url))
    }
}
