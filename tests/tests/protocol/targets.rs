//! The targets that the table runs against.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use larder_policy::fake::{FakeHost, FakeRequest, NOW_MS, claims};
use larder_tests::{
    MountedServer, RemoteServer, Response, StockOptions, StockServer, TenantServer, TestServer, tenants,
};
use tempfile::TempDir;

/// A target.
pub enum Target {
    /// The native policy with an in-memory host, and a clock that stands at this many milliseconds
    /// after the start.
    Native(Box<FakeHost>, AtomicU64),
    /// The built component in the real server.
    Server(Box<TestServer>),
    /// The same as a service in somebody else's server.
    Mounted(Box<MountedServer>),
    /// One of a hundred tenants in the real server.
    Tenant(Box<TenantServer>),
    /// The component under a stock `wasmtime serve`, shared by all promises.
    Stock(Box<RemoteServer>),
    /// A server that runs already.
    #[cfg(feature = "running-server")]
    Running(Box<larder_tests::RemoteServer>),
}

pub fn native() -> Target {
    Target::Native(Box::default(), AtomicU64::new(0))
}

pub async fn server() -> Target {
    Target::Server(Box::new(TestServer::start(&[]).await))
}

pub async fn mounted() -> Target {
    Target::Mounted(Box::new(MountedServer::start().await))
}

/// The tenant is at the address of the server, so that requests need no other host.
pub async fn tenant() -> Target {
    let data = TempDir::new().unwrap();
    for number in 0..99 {
        tenants::write(data.path(), &format!("tenant-{number}"), "");
    }
    tenants::write_at(
        data.path(),
        "among-many",
        "127.0.0.1",
        larder_tests::SECRET,
        "[upstream]\nurl = \"none\"\n",
    );
    Target::Tenant(Box::new(TenantServer::start_on(data, &[("RUST_LOG", "off")]).await))
}

pub fn stock() -> Target {
    static SERVER: LazyLock<StockServer> = LazyLock::new(|| start_stock(&[]));
    of_stock(&SERVER)
}

pub fn stock_with_fresh_instances() -> Target {
    static SERVER: LazyLock<StockServer> =
        LazyLock::new(|| start_stock(&["--max-instance-reuse-count", "1"]));
    of_stock(&SERVER)
}

/// A client for each promise: connections belong to the runtime of the test that opened them.
fn of_stock(server: &StockServer) -> Target {
    Target::Stock(Box::new(RemoteServer::at(server.base.clone(), larder_tests::SECRET.to_owned())))
}

/// Starts a server that ends with this process. Its data stays in the temporary directory of the
/// build until the next run.
fn start_stock(arguments: &[&str]) -> StockServer {
    let data = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stock-{}", arguments.len()));
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data).unwrap();
    let arguments = arguments.iter().map(ToString::to_string).collect();
    StockServer::start(&data, &StockOptions { arguments, ..StockOptions::default() })
}

#[cfg(feature = "running-server")]
pub fn running() -> Target {
    Target::Running(Box::new(larder_tests::RemoteServer::from_environment().expect("LARDER_TEST_URL")))
}

impl Target {
    /// Makes a token for these scopes: name and permission bits.
    pub fn token(&self, repository: &str, scopes: &[(&str, u8)]) -> String {
        match self {
            Self::Native(host, _) => native_token(host, repository, scopes),
            Self::Server(_) | Self::Mounted(_) | Self::Tenant(_) | Self::Stock(_) => {
                larder_tests::token(repository, scopes)
            }
            #[cfg(feature = "running-server")]
            Self::Running(server) => server.token(repository, scopes),
        }
    }

    /// Lets this many milliseconds pass.
    pub async fn let_pass(&self, ms: u64) {
        if let Self::Native(_, clock) = self {
            clock.fetch_add(ms, Relaxed);
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        }
    }

    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Bytes) -> Response {
        match self {
            Self::Native(host, clock) => {
                let now_ms = NOW_MS + clock.load(Relaxed);
                send_natively(host, FakeRequest::new(method, target).at(now_ms), method, headers, &body)
            }
            Self::Server(server) => server.send(method, target, headers, body).await,
            Self::Tenant(tenants) => tenants.server.send(method, target, headers, body).await,
            Self::Stock(server) => in_time(server.send(method, target, headers, body)).await,
            Self::Mounted(server) => in_time(server.remote.send(method, target, headers, body)).await,
            #[cfg(feature = "running-server")]
            Self::Running(server) => in_time(server.send(method, target, headers, body)).await,
        }
    }
}

async fn in_time(response: impl Future<Output = Response>) -> Response {
    tokio::time::timeout(larder_tests::RESPONSE_TIMEOUT, response).await.expect("a response")
}

fn native_token(host: &FakeHost, repository: &str, scopes: &[(&str, u8)]) -> String {
    let rights = |bits: u8| ["", "r", "w", "rw"][usize::from(bits)];
    let scopes: Vec<String> = scopes.iter().map(|(name, bits)| format!("{name}={}", rights(*bits))).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let token = format!("{repository} {scopes:?}");
    host.set_token(&token, Ok(claims(repository, &token, &scopes)));
    token
}

fn send_natively(
    host: &FakeHost,
    mut request: FakeRequest,
    method: &str,
    headers: &[(&str, &str)],
    body: &Bytes,
) -> Response {
    for (name, value) in headers {
        request = match value.strip_prefix("Bearer ") {
            Some(token) if *name == "authorization" => request.token(token),
            _ => request.header(name, value),
        };
    }
    let response = host.send(request.body(body));
    let mut map = http::HeaderMap::new();
    for (name, value) in &response.headers {
        map.append(http::HeaderName::try_from(name).unwrap(), http::HeaderValue::try_from(value).unwrap());
    }
    let body = if method == "HEAD" { Bytes::new() } else { Bytes::from(response.body) };
    if !map.contains_key("content-length") {
        map.insert("content-length", http::HeaderValue::from(body.len()));
    }
    Response { status: http::StatusCode::from_u16(response.status).unwrap(), headers: map, body }
}
