//! Connections: who is served at the limits (fault 10), and what a client that reads nothing costs
//! (fault 9).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_tests::{Job, RESPONSE_TIMEOUT, TestServer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
/// The same from a client of HTTP/1.0 that keeps its connection.
const KEPT_ALIVE: &[u8] = b"GET /health HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n";
/// Is forwarded to the upstream and waits there.
const FORWARDED: &[u8] = b"GET /elsewhere HTTP/1.1\r\nhost: x\r\n\r\n";

/// Starts a server with these lines in the section `[server]` of its file.
async fn server(file: &str, upstream: &str) -> TestServer {
    let data = TempDir::new().unwrap();
    let text = format!("[server]\nshutdown_ms = 1000\nthreads = 2\n{file}");
    std::fs::write(data.path().join("larder.toml"), text).unwrap();
    TestServer::start_on(data, &[("DEFAULT_ACTIONS_RESULTS_URL", upstream)]).await
}

fn address(server: &TestServer) -> std::net::SocketAddr {
    server.base.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(address(server)).await.unwrap()
}

async fn connect_from(server: &TestServer, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    socket.connect(address(server)).await.unwrap()
}

/// Ends a connection, and waits until the server has ended it, too.
async fn end(mut stream: TcpStream) {
    let ended = async {
        let _ = stream.shutdown().await;
        while stream.read(&mut [0; 1024]).await.unwrap_or(0) > 0 {}
    };
    timeout(RESPONSE_TIMEOUT, ended).await.expect("an end in time");
}

/// Reads to the end of a response's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..count]);
        }
    };
    timeout(RESPONSE_TIMEOUT, read).await.expect("a response in time");
    String::from_utf8(seen).unwrap()
}

async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(HEALTH).await.unwrap();
    head(stream).await
}

/// Returns whether the server has closed the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(RESPONSE_TIMEOUT, stream.read(&mut [0; 64])).await, Ok(Ok(0) | Err(_)))
}

/// Fault 10: 1,023 idle connections kept the next client out for two minutes.
#[tokio::test]
async fn idle_connections_keep_no_one_out() {
    let server = server("max_connections = 16\nmax_connections_per_client = 16\n", "none").await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&server).await;
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        idle.push(stream);
    }
    assert!(is_closed(&mut idle[0]).await, "the one that is idle longest makes room");
    assert!(ask(idle.last_mut().unwrap()).await.starts_with("HTTP/1.1 200"), "the last one is kept");
}

/// Fault 10: requests without a token or a signature do not cut off a client that has one.
#[tokio::test]
async fn authorized_clients_are_kept_where_others_connect() {
    let server = server("max_connections = 16\nmax_connections_per_client = 16\n", "none").await;
    let job = Job::new(&server);
    job.save("kept", b"content").await;
    let url = job.url("kept").await;
    let target = url.strip_prefix(&server.base).unwrap();
    let forged = target.replace("sig=", "sig=0");
    let token = larder_tests::token("1", &[("refs/heads/main", 3)]);
    let search = "/_apis/artifactcache/cache?keys=absent&version=5f5f";
    let asked = |method: &str, target: &str| {
        format!("{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")
    };
    let mut open = Vec::new();
    for (request, status) in [
        (asked("HEAD", target).replace("authorization", "x-nothing"), "200"),
        (asked("GET", search), "204"),
        (asked("HEAD", &forged).replace("authorization", "x-nothing"), "403"),
        (asked("GET", search).replace("Bearer ", "Bearer x"), "401"),
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let response = head(&mut stream).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {response}");
        open.push(stream);
    }
    let mut crowd = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&server).await;
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        crowd.push(stream);
    }
    for stream in &mut open[..2] {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"), "an authorized client is kept");
    }
    assert!(is_closed(&mut open[2]).await, "a URL with a false signature is no authorization");
}

/// Fault 9: a request that arrives while its connection is being closed to make room gets a
/// response, because most clients do not retry a broken connection.
#[tokio::test]
async fn a_request_in_the_moment_of_making_room_is_answered() {
    let server = server("max_connections = 8\nmax_connections_per_client = 8\n", "none").await;
    for round in 0..100 {
        let mut open = Vec::new();
        for _ in 0..8 {
            let mut stream = connect(&server).await;
            assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
            open.push(stream);
        }
        open[0].write_all(HEALTH).await.unwrap();
        let newcomer = connect(&server).await;
        let response = head(&mut open[0]).await;
        assert!(response.starts_with("HTTP/1.1 200"), "round {round}: {response:?}");
        // The next round begins with none open: on a busy machine the server may be late to see an end.
        for stream in open.into_iter().chain([newcomer]) {
            end(stream).await;
        }
    }
}

/// Fault 9: a client whose request was answered in that moment would lose the next one, if it was not told.
#[tokio::test]
async fn a_connection_that_was_answered_is_kept_unless_the_response_says_that_it_ends() {
    let server = server("max_connections = 8\nmax_connections_per_client = 8\n", "none").await;
    let mut ended = 0;
    for round in 0..100 {
        let mut open = Vec::new();
        for _ in 0..8 {
            let mut stream = connect(&server).await;
            assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
            open.push(stream);
        }
        let newcomer = connect(&server).await;
        let request = if round % 2 == 0 { HEALTH } else { KEPT_ALIVE };
        let _ = open[0].write_all(request).await;
        let response = head(&mut open[0]).await;
        if response.contains("connection: close") {
            ended += 1;
            assert!(!response.contains("keep-alive"), "round {round}: {response}");
            assert!(is_closed(&mut open[0]).await, "round {round}");
        } else if !response.is_empty() {
            // Longer than a connection that has to end is read.
            sleep(Duration::from_millis(40)).await;
            assert!(ask(&mut open[0]).await.starts_with("HTTP/1.1 200"), "round {round}");
        }
        for stream in open.into_iter().chain([newcomer]) {
            end(stream).await;
        }
    }
    assert!(ended > 0, "no request came in that moment");
}

/// Fault 10: so did sockets that send nothing, or only the beginning of a head.
#[tokio::test]
async fn silent_connections_keep_no_one_out() {
    let server = server("max_connections = 16\nmax_connections_per_client = 16\n", "none").await;
    let mut silent = Vec::new();
    for number in 0..60 {
        let mut stream = connect(&server).await;
        if number % 3 > 0 {
            stream.write_all(if number % 3 == 1 { b"P" } else { b"GET /health HT" }).await.unwrap();
        }
        silent.push(stream);
        let mut client = connect(&server).await;
        assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"));
    }
}

/// Opens as many connections from this address as are allowed, each with a request in progress.
async fn occupy(upstream: &TcpListener, server: &TestServer, count: usize, from: [u8; 4]) -> Vec<TcpStream> {
    let mut busy = Vec::new();
    for _ in 0..count {
        let mut stream = connect_from(server, from).await;
        stream.write_all(FORWARDED).await.unwrap();
        // It is in progress once the upstream has it. The upstream's end is kept open, too.
        busy.push(timeout(RESPONSE_TIMEOUT, upstream.accept()).await.expect("forwarded").unwrap().0);
        busy.push(stream);
    }
    busy
}

async fn is_told_to_come_back(stream: &mut TcpStream) {
    let refused = ask(stream).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("application/json"), "{refused}");
}

/// Fault 10: if no connection is idle, the next one is refused at once, with a status that clients
/// retry.
#[tokio::test]
async fn where_all_are_busy_the_next_is_told_so() {
    let (upstream, server) = stuck_upstream("max_connections = 6\nmax_connections_per_client = 6\n").await;
    let busy = occupy(&upstream, &server, 6, [127, 0, 0, 2]).await;
    is_told_to_come_back(&mut connect(&server).await).await;
    drop(busy);
    loop {
        // The six connections end soon.
        if ask(&mut connect(&server).await).await.starts_with("HTTP/1.1 200") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fault 10: one address gets at most half of all connections, and the others are served.
#[tokio::test]
async fn one_client_cannot_have_all_connections() {
    let (upstream, server) = stuck_upstream("max_connections = 8\n").await;
    let _busy = occupy(&upstream, &server, 4, [127, 0, 0, 2]).await;
    is_told_to_come_back(&mut connect_from(&server, [127, 0, 0, 2]).await).await;
    assert!(ask(&mut connect_from(&server, [127, 0, 0, 3]).await).await.starts_with("HTTP/1.1 200"));
}

/// Starts an upstream that accepts connections and never responds, and a server that forwards to
/// it.
async fn stuck_upstream(file: &str) -> (TcpListener, TestServer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server(file, &url).await;
    (listener, server)
}

/// Fault 10: the timeout between two requests is shorter than the one within a request.
#[tokio::test]
async fn an_idle_connection_goes_before_a_slow_request() {
    let (upstream, server) =
        stuck_upstream("keep_alive_ms = 200\nheader_timeout_ms = 200\nidle_timeout_ms = 60000\n").await;
    let mut slow = connect(&server).await;
    slow.write_all(FORWARDED).await.unwrap();
    let (held, _) = upstream.accept().await.unwrap();
    let mut used = connect(&server).await;
    ask(&mut used).await;
    let mut silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET /hea").await.unwrap();
    for gone in [&mut used, &mut silent, &mut half] {
        assert!(timeout(Duration::from_secs(10), is_closed(gone)).await.expect("closed in time"));
    }
    assert!(timeout(Duration::from_millis(300), slow.readable()).await.is_err(), "the request goes on");
    drop(held);
}

/// Fault 10: after part of an HTTP/2 preface the server waits for the rest; if it turns out to be
/// HTTP/1, it is served as such.
#[tokio::test]
async fn the_first_bytes_may_come_one_by_one() {
    let server = server("", "none").await;
    let mut stream = connect(&server).await;
    stream.set_nodelay(true).unwrap();
    for byte in b"PRI" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stream.write_all(b"NT /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 4"));
    // `P` and the end of the stream: gets a response at once, without polling.
    let mut stream = connect(&server).await;
    stream.write_all(b"P").await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(timeout(Duration::from_secs(5), is_closed(&mut stream)).await.is_ok());
}

/// Opens an HTTP/2 connection whose streams have this small window.
async fn http2(server: &TestServer, window: u32) -> SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(connect(server).await);
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(window);
    let (sender, connection) = client.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn fetch(sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> http::Response<Incoming> {
    let request = http::Request::builder().uri(format!("http://x{path}")).body(Empty::new()).unwrap();
    timeout(RESPONSE_TIMEOUT, sender.send_request(request)).await.expect("a response in time").unwrap()
}

/// Fault 9: a stream whose client reads nothing never ended as long as the client answered pings.
#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_and_its_connection_goes_on() {
    let (upstream, server) = stuck_upstream("idle_timeout_ms = 500\n").await;
    let mut client = http2(&server, 4096).await;
    let mut second = client.clone();
    let response = tokio::spawn(async move { fetch(&mut second, "/elsewhere").await });
    let (mut peer, _) = timeout(RESPONSE_TIMEOUT, upstream.accept()).await.expect("forwarded").unwrap();
    head(&mut peer).await;
    // More than all buffers on the way can hold.
    const LENGTH: usize = 32 << 20;
    peer.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move { peer.write_all(&vec![7; LENGTH]).await });
    let mut body = response.await.unwrap().into_body();
    // The client reads nothing until the server gives up. Meanwhile the connection serves other
    // requests.
    let end = tokio::time::Instant::now() + RESPONSE_TIMEOUT;
    while !sending.is_finished() {
        assert!(tokio::time::Instant::now() < end, "the upstream's response is held for ever");
        assert_eq!(fetch(&mut client, "/health").await.status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut got = 0;
    let failed = loop {
        match timeout(RESPONSE_TIMEOUT, body.frame()).await.expect("an end in time") {
            Some(Ok(frame)) => got += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(failed && got < LENGTH, "{got} bytes, and a clean end");
    assert_eq!(fetch(&mut client, "/health").await.status(), 200);
}

/// Fault 9: a stream that is read slowly is not closed.
#[tokio::test]
async fn a_stream_that_is_read_slowly_goes_on() {
    let (upstream, server) = stuck_upstream("idle_timeout_ms = 3000\n").await;
    let mut client = http2(&server, 64 << 10).await;
    let response = tokio::spawn(async move { fetch(&mut client, "/elsewhere").await });
    let (mut peer, _) = timeout(RESPONSE_TIMEOUT, upstream.accept()).await.expect("forwarded").unwrap();
    head(&mut peer).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n").await.unwrap();
    tokio::spawn(async move { peer.write_all(&[7; 2_000_000]).await });
    let (mut body, mut got) = (response.await.unwrap().into_body(), 0);
    while let Some(frame) = timeout(RESPONSE_TIMEOUT, body.frame()).await.expect("more in time") {
        got += frame.unwrap().into_data().unwrap().len();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(got, 2_000_000);
}
