//! A client that exhausts the server's memory affects only itself: fault 7 and fault 8.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, StatusCode};
use hyper::{
    body::{Body, Frame, SizeHint},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_tests::{Job, RESPONSE_TIMEOUT, TestServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

const MIB: usize = 1 << 20;

/// A body with a length but no bytes.
struct Never(u64);

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

async fn socket(server: &TestServer) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    timeout(RESPONSE_TIMEOUT, TcpStream::connect(address)).await.expect("a connection in time").unwrap()
}

/// Opens an HTTP/2 connection.
async fn http2<B>(server: &TestServer) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(socket(server).await)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Uploads in progress on every thread. They succeed only if no instance fails meanwhile.
struct Canaries(Vec<TcpStream>);

impl Canaries {
    async fn start(server: &TestServer, job: &Job<'_>) -> Self {
        let mut uploads = Vec::new();
        for number in 0..8 {
            let url = job.create(&format!("canary-{number}")).await;
            let target = url.strip_prefix(&server.base).unwrap();
            let mut stream = socket(server).await;
            let head = format!("PUT {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf");
            stream.write_all(head.as_bytes()).await.unwrap();
            uploads.push(stream);
        }
        Self(uploads)
    }

    async fn all_sing(self) {
        for mut stream in self.0 {
            stream.write_all(b"half").await.unwrap();
            let mut status = [0; 12];
            timeout(RESPONSE_TIMEOUT, stream.read_exact(&mut status))
                .await
                .expect("a response in time")
                .unwrap();
            assert_eq!(std::str::from_utf8(&status).unwrap(), "HTTP/1.1 201");
        }
    }
}

/// Asserts that all resources are released.
async fn is_free_again(server: &TestServer) {
    let free = async {
        while server.usage().iter().any(|usage| usage.taken > 0 || usage.waiting > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(RESPONSE_TIMEOUT, free).await.is_err() {
        panic!("still taken: {:?}", server.usage());
    }
}

/// Fault 7 (a): without a token: large heads to a forwarded route, and bodies that never arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_heads_without_a_token_block_no_one() {
    // An upstream that accepts connections and never responds.
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let server = TestServer::start(&[("DEFAULT_ACTIONS_RESULTS_URL", &url)]).await;
    let job = Job::new(&server);
    let canaries = Canaries::start(&server, &job).await;
    let large = HeaderValue::from_maybe_shared(Bytes::from(vec![b'x'; 31 << 10])).unwrap();
    let mut attack = JoinSet::new();
    for _ in 0..50 {
        let mut sender = http2(&server).await;
        for _ in 0..128 {
            let request = Request::post(format!("{}/anything", server.base)).header("x-large", &large);
            let response = sender.send_request(request.body(Never(10)).unwrap());
            attack.spawn(async move { response.await.map(|response| response.status()) });
        }
        // It stays open as long as a sender exists.
        attack.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
            Ok(StatusCode::OK)
        });
    }
    // Once the first is refused, the server is full. A stream that the client opened before it knew
    // how many it may have is reset, which says nothing.
    let refused = async {
        loop {
            if let Ok(status) = attack.join_next().await.unwrap().unwrap() {
                return status;
            }
        }
    };
    let refused = timeout(RESPONSE_TIMEOUT, refused).await.expect("a refusal in time");
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    let content = vec![7; MIB];
    for round in 0..3 {
        let key = format!("healthy-{round}");
        job.save(&key, &content).await;
        assert_eq!(job.restore(&key).await, content);
    }
    canaries.all_sing().await;
    attack.shutdown().await;
    is_free_again(&server).await;
}

/// Fault 7 (b): with a token; 16 block lists of nearly 8 MiB at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_long_block_lists_keep_the_policy_running() {
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    let canaries = Canaries::start(&server, &job).await;
    let ids = (0..50_000).map(|number| format!("<Latest>{number:0>128}</Latest>"));
    let list = Bytes::from(format!("<BlockList>{}</BlockList>", ids.collect::<String>()));
    let urls = join_all((0..16).map(async |number| job.create(&format!("list-{number}")).await)).await;
    let targets: Vec<_> = urls.iter().map(|url| format!("{url}&comp=blocklist")).collect();
    let commits = join_all(targets.iter().map(|target| server.send("PUT", target, &[], list.clone()))).await;
    let mut understood = 0;
    for commit in commits {
        match commit.status {
            // The blocks do not exist, so the list was read to its end.
            StatusCode::BAD_REQUEST => understood += 1,
            StatusCode::SERVICE_UNAVAILABLE => assert_eq!(commit.header("retry-after"), "1"),
            status => panic!("{status}: {}", commit.text()),
        }
    }
    assert!(understood >= 2, "{understood}");
    canaries.all_sing().await;
    is_free_again(&server).await;
}

/// Fault 7 (b): with a token: more messages of the largest size than fit one guest's memory, all at
/// once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_large_messages_keep_the_policy_running() {
    const CALLS: usize = 400;
    let server = TestServer::start(&[("LARDER_THREADS", "1")]).await;
    let job = Job::new(&server);
    let canaries = Canaries::start(&server, &job).await;
    let message = Bytes::from(format!(r#"{{"key":"k","version":"v"}}{}"#, " ".repeat((256 << 10) - 25)));
    let calls = (0..CALLS).map(|_| job.call("GetCacheEntryDownloadURL", message.clone()));
    let responses = join_all(calls).await;
    let answered = |status| responses.iter().filter(|response| response.status == status).count();
    let (looked_up, refused) = (answered(StatusCode::OK), answered(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(looked_up + refused, CALLS);
    assert!(looked_up >= CALLS / 10, "{looked_up}");
    canaries.all_sing().await;
    is_free_again(&server).await;
}

/// Fault 8: announced lists that never arrive hold memory only until others need it, and the
/// messages of others are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_lists_block_no_one() {
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    let url = format!("{}&comp=blocklist", job.create("half").await);
    let mut attack = JoinSet::new();
    for _ in 0..4 {
        let mut sender = http2(&server).await;
        for _ in 0..50 {
            let response = sender.send_request(Request::put(&url).body(Never(8 << 20)).unwrap());
            attack.spawn(async move { response.await.map(|response| response.status()) });
        }
        attack.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
            Ok(StatusCode::OK)
        });
    }
    let content = vec![7; MIB];
    for round in 0..3 {
        let key = format!("healthy-{round}");
        job.save(&key, &content).await;
        assert_eq!(job.restore(&key).await, content);
    }
    // A request that holds memory without sending is refused in favour of waiting ones, with a
    // status that clients retry.
    let given_up =
        timeout(RESPONSE_TIMEOUT, attack.join_next()).await.expect("a response in time").unwrap().unwrap();
    assert_eq!(given_up.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    attack.shutdown().await;
    is_free_again(&server).await;
}
