//! Requests that are not for the cache are forwarded to the upstream, and responses return
//! unchanged; both are streamed. Both ends are raw sockets, so that every byte of a head is
//! checked.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::time::Duration;

use larder_tests::{RESPONSE_TIMEOUT, TestServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The upstream: a listener on which the test accepts.
struct Upstream(TcpListener);

impl Upstream {
    /// Starts an upstream and a server that forwards to it.
    async fn start() -> (Self, TestServer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = TestServer::start(&[("DEFAULT_ACTIONS_RESULTS_URL", &url)]).await;
        (Self(listener), server)
    }

    async fn accept(&self) -> Peer {
        let (stream, _) =
            timeout(RESPONSE_TIMEOUT, self.0.accept()).await.expect("a connection in time").unwrap();
        Peer { stream, ahead: Vec::new() }
    }
}

/// One end of a connection.
struct Peer {
    stream: TcpStream,
    /// Bytes that were read but not returned yet.
    ahead: Vec<u8>,
}

impl Peer {
    async fn connect(server: &TestServer) -> Self {
        let address = server.base.strip_prefix("http://").unwrap();
        Self { stream: TcpStream::connect(address).await.unwrap(), ahead: Vec::new() }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads up to and including `end`.
    async fn read_until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.ahead.split_off(at + end.len());
                let read = std::mem::replace(&mut self.ahead, rest);
                return String::from_utf8(read).unwrap();
            }
            let mut buffer = vec![0; 64 << 10];
            let read = timeout(RESPONSE_TIMEOUT, self.stream.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("no `{end}` in time: {}", self.text())).unwrap();
            assert!(read > 0, "ended before `{end}`: {}", self.text());
            self.ahead.extend_from_slice(&buffer[..read]);
        }
    }

    async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await.to_lowercase()
    }

    /// Reads to the end. Returns an error if the connection is reset.
    async fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.ahead);
        timeout(RESPONSE_TIMEOUT, self.stream.read_to_end(&mut rest)).await.expect("an end in time")?;
        Ok(rest)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.ahead).into_owned()
    }
}

/// A request whose head has reached the upstream and that waits for its response.
struct Asked {
    client: Peer,
    peer: Peer,
    server: TestServer,
}

impl Asked {
    async fn with(request: &str) -> Self {
        let (upstream, server) = Upstream::start().await;
        let mut client = Peer::connect(&server).await;
        client.send(request).await;
        let mut peer = upstream.accept().await;
        peer.head().await;
        Self { client, peer, server }
    }
}

/// Sends a request, lets the upstream respond with these bytes, and returns what the client
/// receives until it closes.
async fn exchange(request: &str, response: &str) -> String {
    let Asked { mut client, mut peer, server: _server } = Asked::with(request).await;
    peer.send(response).await;
    String::from_utf8(client.rest().await.unwrap()).unwrap()
}

const GET: &str = "GET /artifacts HTTP/1.1\r\nhost: cache\r\nconnection: close\r\n\r\n";

fn fields(head: &str) -> Vec<&str> {
    head.lines().skip(1).filter(|line| !line.is_empty()).collect()
}

#[tokio::test]
async fn checklist_33_method_target_and_fields_reach_the_upstream_as_they_came() {
    let (upstream, server) = Upstream::start().await;
    let target = "/twirp/other.Service//a%2Fb/./../c;d=1?q=%20+&&q=1&=&%zz&sig=A%3d/+~'(*)";
    let mut client = Peer::connect(&server).await;
    client
        .send(format!(
            "PURGE {target} HTTP/1.1\r\nhost: cache\r\nauthorization: Bearer secret\r\nx-many: one\r\nx-many: two\r\n\
             x-many:\r\ncookie: a=1\r\nuser-agent: odd/1.0\r\naccept-encoding: gzip, br\r\nexpect-ct: x\r\n\
             x-forwarded-for: 10.0.0.1\r\nconnection: keep-alive, x-dropped\r\nx-dropped: 1\r\nkeep-alive: timeout=5\r\n\
             proxy-connection: keep-alive\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
    let mut peer = upstream.accept().await;
    let raw = peer.read_until("\r\n\r\n").await;
    assert!(raw.starts_with(&format!("PURGE {target} HTTP/1.1\r\n")), "{raw}");
    let mut seen = fields(&raw);
    seen.retain(|field| !field.starts_with("host: "));
    seen.sort_unstable();
    let mut expected = [
        "accept-encoding: gzip, br",
        "authorization: Bearer secret",
        "content-length: 0",
        "cookie: a=1",
        "expect-ct: x",
        "user-agent: odd/1.0",
        "x-forwarded-for: 10.0.0.1",
        "x-many: ",
        "x-many: one",
        "x-many: two",
    ];
    expected.sort_unstable();
    assert_eq!(seen, expected);
    let host = format!("host: {}", upstream.0.local_addr().unwrap());
    assert!(raw.to_lowercase().contains(&host), "{raw}");
}

#[tokio::test]
async fn the_order_of_repeated_fields_is_kept() {
    let response = "HTTP/1.1 200 OK\r\nset-cookie: b=2\r\nset-cookie: a=1\r\nset-cookie: c=3\r\ncontent-length: 0\r\n\r\n";
    let got = exchange(GET, response).await.to_lowercase();
    let cookies: Vec<_> = fields(&got).into_iter().filter(|field| field.starts_with("set-cookie")).collect();
    assert_eq!(cookies, ["set-cookie: b=2", "set-cookie: a=1", "set-cookie: c=3"]);
}

#[tokio::test]
async fn bodies_go_both_ways_in_chunks_with_their_trailers() {
    let (upstream, server) = Upstream::start().await;
    let mut client = Peer::connect(&server).await;
    client
        .send(
            "POST /upload HTTP/1.1\r\nhost: cache\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nte: trailers, gzip\r\n\r\n\
             5\r\nhello\r\n",
        )
        .await;
    let mut peer = upstream.accept().await;
    let head = peer.head().await;
    assert!(head.contains("transfer-encoding: chunked") && head.contains("te: trailers\r\n"), "{head}");
    // The first piece arrives before the second is sent.
    peer.read_until("5\r\nhello\r\n").await;
    client.send("6\r\n world\r\n0\r\nx-sum: 1\r\n\r\n").await;
    assert_eq!(peer.read_until("0\r\nx-sum: 1\r\n\r\n").await, "6\r\n world\r\n0\r\nx-sum: 1\r\n\r\n");

    peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-total\r\n\r\n3\r\none\r\n").await;
    let head = client.head().await;
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    client.read_until("3\r\none\r\n").await;
    peer.send("3\r\ntwo\r\n0\r\nx-total: 6\r\n\r\n").await;
    assert_eq!(client.read_until("x-total: 6\r\n\r\n").await, "3\r\ntwo\r\n0\r\nx-total: 6\r\n\r\n");
}

#[tokio::test]
async fn responses_without_a_body_stay_without_one() {
    for (method, response, status) in [
        ("GET", "HTTP/1.1 204 No Content\r\nx-kept: 1\r\n\r\n", "204 no content"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\nx-kept: 1\r\netag: \"e\"\r\n\r\n",
            "304 not modified",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 77\r\nx-kept: 1\r\n\r\n", "200 ok"),
        ("HEAD", "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\nx-kept: 1\r\n\r\n", "404 not found"),
    ] {
        let got = exchange(&GET.replace("GET", method), response).await.to_lowercase();
        assert!(got.starts_with(&format!("http/1.1 {status}\r\n")), "{got}");
        assert!(got.ends_with("\r\n\r\n") && got.contains("x-kept: 1\r\n"), "{method} {response}: {got}");
        // A 304 may omit it (RFC 9110, 8.6), and hyper does.
        let expected = response.lines().find(|line| line.starts_with("content-length") && method == "HEAD");
        let length = got.lines().find(|line| line.starts_with("content-length"));
        assert_eq!(length, expected, "{method} {response}: {got}");
        assert!(!got.contains("transfer-encoding"), "{got}");
    }
}

#[tokio::test]
async fn redirects_errors_and_encodings_pass_untouched() {
    for response in [
        "HTTP/1.1 302 Found\r\nlocation: ../elsewhere?a=%2F\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://other.example/x\r\ncontent-length: 4\r\n\r\nbody",
        "HTTP/1.1 500 Oh\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nzip!",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let got = exchange(GET, response).await;
        let last = &response[response.rfind("HTTP/1.1").unwrap()..];
        let (head, body) = last.split_once("\r\n\r\n").unwrap();
        let (got_head, got_body) = got.split_once("\r\n\r\n").unwrap();
        assert_eq!(got_body, body, "{response}");
        let status = &head.lines().next().unwrap()[..12];
        assert_eq!(&got_head[..12], status);
        for field in head.lines().skip(1) {
            assert!(got_head.lines().any(|line| line == field), "{field} is missing in: {got_head}");
        }
    }
}

#[tokio::test]
async fn fields_of_one_connection_are_not_passed_on() {
    let response = "HTTP/1.1 200 OK\r\nconnection: close, x-dropped\r\nx-dropped: 1\r\nkeep-alive: timeout=1\r\n\
                  proxy-connection: close\r\nupgrade: h2c\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n";
    let got = exchange(GET, response).await.to_lowercase();
    for dropped in ["x-dropped", "keep-alive: timeout", "proxy-connection", "upgrade"] {
        assert!(!got.contains(dropped), "{dropped}: {got}");
    }
    assert!(got.contains("x-kept: 1"));
}

#[tokio::test]
async fn a_long_poll_is_waited_for() {
    let (upstream, server) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let data = tempfile::TempDir::new().unwrap();
        // The timeout is for silence within a body, not for a slow response.
        let file = "[server]\nshutdown_ms = 1000\nidle_timeout_ms = 200\nheader_timeout_ms = 200\n[upstream]\nconnect_timeout_ms = 200\n";
        std::fs::write(data.path().join("larder.toml"), file).unwrap();
        (Upstream(listener), TestServer::start_on(data, &[("DEFAULT_ACTIONS_RESULTS_URL", &url)]).await)
    };
    let mut client = Peer::connect(&server).await;
    client.send(GET).await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    assert!(timeout(Duration::from_millis(1000), client.stream.readable()).await.is_err(), "no response yet");
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
    assert!(client.rest().await.unwrap().ends_with(b"late"));
}

#[tokio::test]
async fn an_abandoned_request_is_cancelled_at_the_upstream() {
    let Asked { client, mut peer, server: _server } = Asked::with(GET).await;
    drop(client);
    assert_eq!(peer.rest().await.unwrap(), b"", "the connection is closed");
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_is_sent() {
    let (upstream, server) = Upstream::start().await;
    let mut client = Peer::connect(&server).await;
    client.send("PUT /log HTTP/1.1\r\nhost: cache\r\ncontent-length: 1000\r\n\r\nfirst").await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
    client.read_until("no").await;
}

/// Sends until the other side accepts no more for a while. Returns how many bytes it accepted.
async fn fill(stream: &mut TcpStream, most: usize) -> usize {
    let chunk = vec![7; 256 << 10];
    let mut sent = 0;
    while sent < most {
        match timeout(Duration::from_millis(500), stream.write(&chunk)).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

const HUGE: usize = 256 << 20;
/// The most that the kernel may buffer for four sockets, plus the server between them.
const HELD: usize = 48 << 20;

#[tokio::test]
async fn an_upload_is_held_back_by_an_upstream_that_does_not_read() {
    let (upstream, server) = Upstream::start().await;
    let mut client = Peer::connect(&server).await;
    client.send(format!("PUT /log HTTP/1.1\r\nhost: cache\r\ncontent-length: {HUGE}\r\n\r\n")).await;
    let mut peer = upstream.accept().await;
    let sent = fill(&mut client.stream, HUGE).await;
    assert!(sent < HELD, "{sent} bytes were taken");
    // Then all of it arrives.
    peer.head().await;
    let mut received = peer.ahead.len();
    let mut buffer = vec![0; 1 << 20];
    let receive = async {
        while received < HUGE {
            received += peer.stream.read(&mut buffer).await.unwrap();
        }
    };
    let rest = vec![7; HUGE - sent];
    let (written, ()) = tokio::join!(client.stream.write_all(&rest), receive);
    written.unwrap();
    assert_eq!(received, HUGE);
}

#[tokio::test]
async fn a_download_is_held_back_by_a_client_that_does_not_read() {
    let Asked { mut client, mut peer, server: _server } = Asked::with(GET).await;
    peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {HUGE}\r\n\r\n")).await;
    let sent = fill(&mut peer.stream, HUGE).await;
    assert!(sent < HELD, "{sent} bytes were taken");
    let rest = vec![7; HUGE - sent];
    let (written, got) = tokio::join!(peer.stream.write_all(&rest), client.rest());
    written.unwrap();
    let got = got.unwrap();
    let head = got.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(got.len() - head == HUGE && got[head..].iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn an_upstream_that_is_down_or_breaks_off_is_a_502_in_json() {
    // Bound and dropped, so that nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let server = TestServer::start(&[("DEFAULT_ACTIONS_RESULTS_URL", &url)]).await;
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
        let response = server.send(method, "/twirp/other.Service/Call", &[], "body").await;
        assert_eq!((response.status.as_u16(), response.header("content-type")), (502, "application/json"));
        assert_eq!(response.json()["code"], "unavailable", "{method}");
    }
    for broken in ["", "HTTP/1.1 2", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
        let Asked { mut client, mut peer, server: _server } = Asked::with(GET).await;
        peer.send(broken).await;
        drop(peer);
        let got = String::from_utf8(client.rest().await.unwrap()).unwrap();
        assert!(got.starts_with("HTTP/1.1 502 "), "{broken:?}: {got}");
        let body = got.split_once("\r\n\r\n").unwrap().1;
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "unavailable");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_and_never_ended_cleanly() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let Asked { mut client, mut peer, server: _server } = Asked::with(GET).await;
        peer.send(response).await;
        client.read_until("half").await;
        drop(peer);
        let rest = client.rest().await.unwrap_or_default();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{response}: a clean end");
    }
}

/// Fault 29: the response states who is at fault.
#[tokio::test]
async fn a_malformed_body_is_the_clients_fault_and_no_502() {
    let (upstream, server) = Upstream::start().await;
    for broken in ["zz\r\n", "5\r\nhelloXX", "ffffffffffffffffff\r\n"] {
        let mut client = Peer::connect(&server).await;
        client.send("POST /upload HTTP/1.1\r\nhost: cache\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut peer = upstream.accept().await;
        peer.head().await;
        client.send(broken).await;
        let head = client.head().await;
        assert!(head.starts_with("http/1.1 400"), "{broken:?}: {head}");
        assert!(head.contains("content-type: application/json"), "{head}");
    }
    // CONNECT is never forwarded.
    let mut client = Peer::connect(&server).await;
    client.send("CONNECT /upload HTTP/1.1\r\nhost: cache\r\n\r\n").await;
    assert!(client.head().await.starts_with("http/1.1 400"));
    assert!(timeout(Duration::from_millis(200), upstream.0.accept()).await.is_err());
}
