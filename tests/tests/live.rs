//! Requests and decisions as streams: of a running server, with a job's real requests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder_tests::{Job, RESPONSE_TIMEOUT, TenantServer, TestServer};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::{io::AsyncWriteExt as _, net::TcpSocket, time::timeout};

const KEY: &str = "the key of an administrator";
const WITH_KEY: [(&str, &str); 2] =
    [("MANAGEMENT_API_KEY", KEY), ("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0")];

/// A stream of lines.
struct Lines {
    body: Incoming,
    text: String,
}

impl Lines {
    /// The next line; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let line = serde_json::from_str(line).unwrap();
                self.text = rest.to_owned();
                return Some(line);
            }
            let frame = timeout(RESPONSE_TIMEOUT, self.body.frame()).await.expect("a line comes")?;
            let data = frame.expect("it ends in order").into_data().unwrap();
            self.text += std::str::from_utf8(&data).unwrap();
        }
    }

    /// The next line of an event.
    async fn event(&mut self) -> Value {
        loop {
            let line = self.next().await.expect("an event comes");
            if line.get("kind").is_some() {
                return line;
            }
        }
    }
}

fn base(server: &TestServer) -> String {
    format!("http://{}", server.management_address().expect("it listens"))
}

async fn open(base: &str, path: &str, key: &str) -> Result<Lines, u16> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::builder().uri(format!("{base}/api/v1/{path}"));
    let request = request.header("authorization", format!("Bearer {key}")).body(Empty::<Bytes>::new());
    let response = client.request(request.unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    if head.status != 200 {
        let text = body.collect().await.unwrap().to_bytes();
        assert!(text.starts_with(b"{\"error\""), "{text:?}");
        return Err(head.status.as_u16());
    }
    assert_eq!(head.headers["content-type"], "application/x-ndjson");
    let mut lines = Lines { body, text: String::new() };
    assert!(lines.next().await.unwrap()["alive_ms"].is_u64(), "what comes from now on is complete");
    Ok(lines)
}

/// Makes a key with a role, for a tenant.
async fn new_key(base: &str, name: &str, tenant: Option<&str>) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let body = json!({ "name": name, "role": "read", "tenant": tenant }).to_string();
    let request = http::Request::post(format!("{base}/api/v1/keys")).header("x-api-key", KEY);
    let response = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let made: Value = serde_json::from_slice(&body).unwrap();
    made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

#[tokio::test]
async fn requests_come_as_they_end_by_kind_and_repository() {
    let server = TestServer::start(&WITH_KEY).await;
    let base = base(&server);
    let mut all = open(&base, "requests", KEY).await.unwrap();
    let mut some = open(&base, "requests?kind=finalize&kind=lookup&repository=8", KEY).await.unwrap();
    let mut decisions = open(&base, "decisions?seconds=1", KEY).await.unwrap();
    Job::of(&server, "7").save("npm-1", b"content").await;
    let kinds = [all.event().await, all.event().await, all.event().await].map(|event| event["kind"].clone());
    assert_eq!(kinds, [json!("reserve"), json!("upload"), json!("finalize")]);
    let job = Job::of(&server, "8");
    job.save("npm-2", b"content").await;
    job.look_up("npm-3", &["npm-"]).await;
    let (saved, found) = (some.event().await, some.event().await);
    assert_eq!((&saved["kind"], &saved["key"]), (&json!("finalize"), &json!("npm-2")), "{saved}");
    assert_eq!((&found["outcome"], &found["matched_key"]), (&json!("hit"), &json!("npm-2")), "{found}");
    assert_eq!((&found["tenant"], &found["repository"]), (&json!("default"), &json!("8")));
    // A stream of its own: a request is none of its lines. It ends when it was to.
    assert!(decisions.next().await.is_none());
}

#[tokio::test]
async fn what_is_evicted_comes_as_a_decision() {
    let mut variables = WITH_KEY.to_vec();
    variables.push(("CACHE_MAX_SIZE_BYTES", "1000000"));
    let server = TestServer::start(&variables).await;
    let mut decisions = open(&base(&server), "decisions?kind=evict", KEY).await.unwrap();
    let job = Job::of(&server, "7");
    for key in ["first", "second", "third"] {
        job.save(key, &vec![b'x'; 400_000]).await;
    }
    let evicted = decisions.event().await;
    assert_eq!((&evicted["kind"], &evicted["key"]), (&json!("evict"), &json!("first")), "{evicted}");
}

#[tokio::test]
async fn who_may_not_look_or_looks_elsewhere_is_refused() {
    let server = TestServer::start(&WITH_KEY).await;
    let own = base(&server);
    for (base, path, key, expected) in [
        (&own, "requests", "larder_wrong", 401),
        (&own, "decisions", "larder_wrong", 401),
        (&own, "requests?kind=evict", KEY, 400),
        (&own, "decisions?kind=lookup", KEY, 400),
        (&own, "requests?seconds=0", KEY, 400),
        (&own, "requests?seconds=601", KEY, 400),
        (&own, "requests?repository=acme/none", KEY, 404),
        (&own, "requests?tenant=none", KEY, 404),
        // There a response is whole before it is sent.
        (&server.base, "requests", KEY, 501),
    ] {
        assert_eq!(open(base, path, key).await.err(), Some(expected), "{path}");
    }
}

/// Eight of a key; one that is closed gives its place back.
#[tokio::test]
async fn streams_are_few() {
    let server = TestServer::start(&WITH_KEY).await;
    let base = base(&server);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(open(&base, "requests", KEY).await.unwrap());
    }
    assert_eq!(open(&base, "decisions", KEY).await.err(), Some(429));
    let other = new_key(&base, "other", None).await;
    assert!(open(&base, "decisions", &other).await.is_ok());
    held.pop();
    let job = Job::new(&server);
    let freed = async {
        while open(&base, "decisions", KEY).await.is_err() {
            // What is written to a closed connection tells the server that it is.
            job.look_up("k", &[]).await;
        }
    };
    timeout(RESPONSE_TIMEOUT, freed).await.expect("the place is given back");
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_streams_and_no_others() {
    let server = TestServer::start(&WITH_KEY).await;
    let base = base(&server);
    let (gone, kept) = (new_key(&base, "gone", None).await, new_key(&base, "kept", None).await);
    let mut of_gone = open(&base, "requests", &gone).await.unwrap();
    let mut of_kept = open(&base, "requests", &kept).await.unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::delete(format!("{base}/api/v1/keys/gone")).header("x-api-key", KEY);
    let response = client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 204);
    assert!(of_gone.next().await.is_none());
    Job::new(&server).look_up("npm-1", &[]).await;
    assert_eq!(of_kept.event().await["kind"], "lookup");
}

/// More than the buffers of both ends take.
#[tokio::test]
async fn a_reader_that_stalls_holds_up_neither_others_nor_the_stop() {
    let server = TestServer::start(&WITH_KEY).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    // With small segments the kernel of the sender keeps little, too.
    SockRef::from(&socket).set_tcp_mss(536).unwrap();
    let mut stalled = socket.connect(server.management_address().unwrap()).await.unwrap();
    let request =
        format!("GET /api/v1/requests HTTP/1.1\r\nhost: any.test\r\nauthorization: Bearer {KEY}\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.unwrap();
    stalled.readable().await.unwrap();
    let mut other = open(&base(&server), "requests", KEY).await.unwrap();
    let job = Job::new(&server);
    let keys: Vec<String> = (0..9).map(|number| format!("{number}").repeat(500)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for _ in 0..200 {
        job.look_up("npm-1", &keys).await;
        let event = other.event().await;
        assert!(event.to_string().len() > 4_000, "{event}");
    }
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    timeout(RESPONSE_TIMEOUT, stopped).await.expect("the stop does not wait for it").unwrap();
    drop(stalled);
}

/// A tenant's failures have what is refused before its policy is asked, too, without the client's words.
#[tokio::test]
async fn what_is_refused_before_a_policy_is_called_is_among_the_errors() {
    let server = TenantServer::start(&["blue"], &WITH_KEY).await;
    let secret = "/twirp/github.actions.results.api.v1.CacheService/hush?sig=hush";
    let headers = [("host", "unknown.test"), ("authorization", "Bearer hush")];
    let refused = server.server.send("POST", secret, &headers, Bytes::new()).await;
    assert_eq!(refused.status, 404);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let errors = async |tenant: &str| {
        let uri = format!("{}/api/v1/errors?tenant={tenant}", base(&server.server));
        let request = http::Request::get(uri).header("x-api-key", KEY).body(Empty::<Bytes>::new());
        let body = client.request(request.unwrap()).await.unwrap().into_body().collect().await.unwrap();
        serde_json::from_slice::<Value>(&body.to_bytes()).unwrap()["errors"].clone()
    };
    let of_operator = errors("default").await;
    let [event] = &of_operator.as_array().unwrap()[..] else { panic!("{of_operator}") };
    assert_eq!((&event["outcome"], &event["status"]), (&json!("refused"), &json!(404)), "{event}");
    assert!(event["reason"].is_string() && event["tenant"] == "default", "{event}");
    assert!(!event.to_string().contains("hush"), "{event}");
    assert_eq!(errors("blue").await, json!([]));
}

/// A reader that does not read ends with its connection; it holds nothing up.
#[tokio::test]
async fn a_stop_ends_streams() {
    let server = TestServer::start(&WITH_KEY).await;
    let mut lines = open(&base(&server), "requests", KEY).await.unwrap();
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    assert!(timeout(RESPONSE_TIMEOUT, lines.next()).await.expect("it ends").is_none());
    timeout(Duration::from_secs(60), stopped).await.expect("the stop does not wait for it").unwrap();
}

#[tokio::test]
async fn a_tenants_key_sees_its_tenant_alone() {
    let server = TenantServer::start(&["blue", "red"], &WITH_KEY).await;
    let base = base(&server.server);
    let key = new_key(&base, "of-blue", Some("blue")).await;
    assert_eq!(open(&base, "requests?tenant=red", &key).await.err(), Some(403));
    let mut blue = open(&base, "requests?kind=finalize", &key).await.unwrap();
    let mut red = open(&base, "requests?kind=finalize&tenant=red", KEY).await.unwrap();
    server.job("red").save("of-red", b"content").await;
    server.job("blue").save("of-blue", b"content").await;
    let (of_blue, of_red) = (blue.event().await, red.event().await);
    assert_eq!((&of_blue["tenant"], &of_blue["key"]), (&json!("blue"), &json!("of-blue")), "{of_blue}");
    assert_eq!((&of_red["tenant"], &of_red["key"]), (&json!("red"), &json!("of-red")), "{of_red}");
}
