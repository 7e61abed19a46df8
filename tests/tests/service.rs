//! The server as a service in somebody else's program.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use larder::{
    Access, Authenticator, ClientAddress, Larder, LarderService, ResponseBody, Scope, TokenError,
    facts::Facts,
};
use larder_tests::{BRANCH, test_config, test_config_of_file, token};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower_service::Service;

const CALLS: &str = "/twirp/github.actions.results.api.v1.CacheService";
const VERSION: &str = "v";

/// Starts a server with these lines in the section `[server]` of its file.
async fn start(data: &TempDir, file: &str) -> Larder {
    let config = test_config_of_file(data.path(), &format!("[server]\nshutdown_ms = 500\n{file}"));
    Box::pin(Larder::builder(config).without_listener().build()).await.unwrap()
}

/// A job that speaks to the service in this program.
struct Job {
    service: LarderService,
    token: String,
}

impl Job {
    fn new(larder: &Larder) -> Self {
        Self { service: larder.service(), token: token("1", &[(BRANCH, 3)]) }
    }

    fn request<B>(&self, method: &str, target: &str, body: B) -> http::Request<B> {
        let path = target.strip_prefix("http://cache.test").unwrap_or(target);
        let request = http::Request::builder().method(method).uri(path).header("host", "cache.test");
        let authorized = request.header("authorization", format!("Bearer {}", self.token));
        authorized.header("content-type", "application/json").body(body).unwrap()
    }

    async fn send<B>(&self, request: http::Request<B>) -> http::Response<ResponseBody>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        self.service.clone().call(request).await.unwrap()
    }

    async fn ask(&self, method: &str, target: &str, body: impl Into<Bytes>) -> http::Response<ResponseBody> {
        self.send(self.request(method, target, Full::new(body.into()))).await
    }

    async fn call(&self, name: &str, message: Value) -> Value {
        let response = self.ask("POST", &format!("{CALLS}/{name}"), message.to_string()).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 200, "{body:?}");
        serde_json::from_slice(&body).unwrap()
    }

    async fn create(&self, key: &str) -> String {
        let created = self.call("CreateCacheEntry", json!({ "key": key, "version": VERSION })).await;
        created["signed_upload_url"].as_str().unwrap().to_owned()
    }

    async fn save(&self, key: &str, content: Bytes) {
        let (url, size) = (self.create(key).await, content.len());
        assert_eq!(self.ask("PUT", &url, content).await.status(), 201);
        let finalize = json!({ "key": key, "version": VERSION, "size_bytes": size });
        assert_eq!(self.call("FinalizeCacheEntryUpload", finalize).await["ok"], true);
    }

    async fn download(&self, key: &str) -> http::Response<ResponseBody> {
        let found = self.call("GetCacheEntryDownloadURL", json!({ "key": key, "version": VERSION })).await;
        self.ask("GET", found["signed_download_url"].as_str().expect("a hit"), "").await
    }

    async fn restore(&self, key: &str) -> Bytes {
        let response = self.download(key).await;
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap().to_bytes()
    }
}

/// More than a response's buffers.
fn large() -> Bytes {
    (0..5_000_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>().into()
}

/// The caller's runtime has no timers and no threads for files: the service uses its own.
#[test]
fn a_service_saves_and_restores_under_any_executor() {
    let data = TempDir::new().unwrap();
    let whole = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let larder = whole.block_on(start(&data, ""));
    assert_eq!(larder.address(), None);
    let job = Job::new(&larder);
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bare.block_on(async {
        job.save("embedded", large()).await;
        assert_eq!(job.restore("embedded").await, large());
        let missing =
            job.call("GetCacheEntryDownloadURL", json!({ "key": "other", "version": VERSION })).await;
        assert_eq!(missing["ok"], false);
    });
    assert_eq!(larder.connections().requests, 0);
    larder.stop();
}

/// A body of chunks, which counts how many were asked for and never ends.
struct Endless {
    asked: Arc<AtomicUsize>,
    most: usize,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.asked.fetch_add(1, SeqCst) >= self.most {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 4096])))))
    }
}

/// Bodies stream: what the storage has not taken is not asked for, and a body that stalls is cut
/// short by the server's own limit, and leaves nothing.
#[tokio::test]
async fn a_body_that_stalls_is_cut_short() {
    let data = TempDir::new().unwrap();
    let larder = start(&data, "idle_timeout_ms = 1000").await;
    let job = Job::new(&larder);
    let url = job.create("stalls").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let body = Endless { asked: asked.clone(), most: 100 };
    let response = job.send(job.request("PUT", &url, body)).await;
    assert!(response.status().is_client_error(), "{}", response.status());
    assert!(asked.load(SeqCst) > 100);
    job.save("stalls-not", "content".into()).await;
    larder.stop();
}

#[tokio::test]
async fn two_in_one_process_start_and_stop_in_turn() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let one = start(&first, "").await;
    let two = start(&second, "").await;
    Job::new(&one).save("key", "of the first".into()).await;
    Job::new(&two).save("key", "of the second".into()).await;
    assert_eq!(Job::new(&one).restore("key").await, "of the first");
    one.stop();
    assert_eq!(Job::new(&two).restore("key").await, "of the second");
    let one = start(&first, "").await;
    two.stop();
    assert_eq!(Job::new(&one).restore("key").await, "of the first");
    one.stop();
}

#[tokio::test]
async fn requests_above_the_limit_get_a_503() {
    let data = TempDir::new().unwrap();
    let larder = start(&data, "max_connections = 16").await;
    let job = Job::new(&larder);
    job.save("large", large()).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(job.download("large").await);
    }
    assert_eq!((larder.connections().connections, larder.connections().requests), (16, 16));
    let refused = job.ask("GET", "/health", "").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    held.pop();
    assert_eq!(job.ask("GET", "/health", "").await.status(), 200);
    larder.stop();
}

/// The limit of one client counts where the program says who the client is.
#[tokio::test]
async fn one_client_has_a_limit_of_its_own() {
    let data = TempDir::new().unwrap();
    let larder = start(&data, "max_connections = 16").await;
    let job = Job::new(&larder);
    job.save("large", large()).await;
    let found = job.call("GetCacheEntryDownloadURL", json!({ "key": "large", "version": VERSION })).await;
    let url = found["signed_download_url"].as_str().unwrap();
    let from = |last: u8| {
        let mut request = job.request("GET", url, Full::new(Bytes::new()));
        request.extensions_mut().insert(ClientAddress(IpAddr::from([192, 0, 2, last])));
        job.send(request)
    };
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(from(1).await);
    }
    assert!(held.iter().all(|response| response.status() == 200));
    assert_eq!(from(1).await.status(), 503);
    assert_eq!(from(2).await.status(), 200);
    larder.stop();
}

/// A stop waits for what is in flight, for as long as `shutdown_ms` says. What is left after that
/// breaks off, and does not crash the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_finish_and_refuses_new_ones() {
    let data = TempDir::new().unwrap();
    let larder = start(&data, "").await;
    let job = Job::new(&larder);
    job.save("large", large()).await;
    let (finishes, is_left) = (job.download("large").await, job.download("large").await);
    let stopped = tokio::task::spawn_blocking(|| larder.stop());
    tokio::time::timeout(Duration::from_secs(10), async {
        while job.ask("GET", "/health", "").await.status() != 503 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("new requests are refused");
    assert_eq!(finishes.into_body().collect().await.unwrap().to_bytes(), large());
    stopped.await.unwrap();
    assert!(is_left.into_body().collect().await.is_err());
    assert_eq!(job.ask("GET", "/health", "").await.status(), 503);
}

/// A program whose tokens are words.
struct Words;

#[async_trait::async_trait]
impl Authenticator for Words {
    async fn authenticate(&self, token: &str) -> Result<Access, TokenError> {
        let scope = |write| Scope { name: BRANCH.to_owned(), read: true, write };
        let (repository, write) = match token {
            "writer-of-red" => ("red", true),
            "reader-of-red" => ("red", false),
            "writer-of-blue" => ("blue", true),
            "gone" => return Err(TokenError::Unavailable("the program is asleep".to_owned())),
            _ => return Err(TokenError::BadSignature),
        };
        let facts = Facts::try_from(&[("actor", token)][..]).unwrap();
        Ok(Access {
            repository: repository.to_owned(),
            scopes: vec![scope(write)],
            expires_ms: u64::MAX,
            facts,
        })
    }
}

#[tokio::test]
async fn the_callers_tokens_count_and_no_others() {
    let data = TempDir::new().unwrap();
    let builder = Larder::builder(test_config(data.path(), &[])).without_listener();
    let larder = Box::pin(builder.authenticator(Arc::new(Words)).build()).await.unwrap();
    let of = |token: &str| Job { service: larder.service(), token: token.to_owned() };
    of("writer-of-red").save("key", "red".into()).await;
    assert_eq!(of("reader-of-red").restore("key").await, "red");
    let find = json!({ "key": "key", "version": VERSION });
    assert_eq!(of("writer-of-blue").call("GetCacheEntryDownloadURL", find.clone()).await["ok"], false);
    // One that the configured secret signed.
    let signed = token("red", &[(BRANCH, 3)]);
    for (token, status) in [("gone", 503), ("nobody", 401), (&signed, 401)] {
        let response =
            of(token).ask("POST", &format!("{CALLS}/GetCacheEntryDownloadURL"), find.to_string()).await;
        assert_eq!(response.status(), status, "{token}");
    }
    larder.stop();
}
