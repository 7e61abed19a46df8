//! A policy component that misbehaves fails the request at hand, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::time::Duration;

use http::StatusCode;
use larder::Larder;
use larder_tests::{HOSTILE_POLICY, RESPONSE_TIMEOUT, TestServer, test_config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Triggers a misbehaviour. Expects the 404 that clients treat as a miss, and a response to the
/// next request.
async fn costs_a_404(server: &TestServer, method: &str, path: &str) {
    let response = server.send(method, path, &[], "a body").await;
    assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}");
    assert_eq!(response.header("content-type"), "application/json", "{path}");
    assert_eq!(response.json()["code"], "not_found", "{path}");
    assert_eq!(server.get("/fine").await.text(), "fine", "after {path}");
}

#[tokio::test]
async fn every_way_to_break_costs_a_404_and_the_next_request_is_answered() {
    let server = TestServer::start_hostile().await;
    for path in [
        "/trap",
        "/spin",
        "/hoard",
        "/flood-host",
        "/many-probes",
        "/many-facts",
        "/many-marks",
        "/long-signature",
        "/object-name",
    ] {
        costs_a_404(&server, "GET", path).await;
    }
    for path in ["/status", "/header", "/header-value", "/hop-by-hop", "/many-headers"] {
        costs_a_404(&server, "GET", path).await;
    }
    for path in ["/wrong-length", "/outside-range"] {
        costs_a_404(&server, "PUT", path).await;
    }
}

#[tokio::test]
async fn what_is_repeatable_is_tried_once_more_on_a_fresh_instance() {
    let server = TestServer::start_hostile().await;
    let response = server.get("/trap-once").await;
    assert_eq!((response.status, response.text()), (StatusCode::OK, "after the trap"));
}

/// Fault 3: an upload or a call that the policy dropped got a 404, which no client retries.
#[tokio::test]
async fn what_is_not_repeatable_is_a_503_that_clients_repeat() {
    let server = TestServer::start_hostile().await;
    let mut waiting = connect(&server).await;
    waiting.write_all(b"PUT /save/wait HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    assert_eq!(server.get("/fine").await.text(), "fine");
    let broken = server.send("PUT", "/save/trap", &[], "a body").await;
    assert_eq!((broken.status, broken.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(
        (broken.json()["code"].as_str(), broken.header("x-ms-request-id").len()),
        (Some("unavailable"), 36)
    );
    let mut head = [0; 12];
    tokio::time::timeout(RESPONSE_TIMEOUT, waiting.read_exact(&mut head))
        .await
        .expect("a response in time")
        .unwrap();
    assert_eq!(&head, b"HTTP/1.1 503");
    assert_eq!(server.get("/fine").await.text(), "fine");
}

/// Fault 18: the server went on listening and returned 404 to every request.
#[tokio::test]
async fn a_policy_that_cannot_start_fails_the_start() {
    let data = tempfile::TempDir::new().unwrap();
    std::fs::write(data.path().join("larder.toml"), "[policy]\nmemory_bytes = 1048576\n").unwrap();
    let failed = TestServer::start_error(&data, &[]).await;
    let larder::StartError::Policy(error @ larder::LoadError::Start(_)) = failed else { panic!("{failed}") };
    assert!(error.to_string().contains("policy.memory_bytes"), "{error}");
}

#[tokio::test]
async fn a_body_is_taken_once() {
    let server = TestServer::start_hostile().await;
    let response = server.send("POST", "/body-twice", &[], "a body").await;
    assert_eq!(response.text(), "true Err(Error::BodyUsed)");
}

#[tokio::test]
async fn the_component_does_not_see_the_token() {
    let server = TestServer::start_hostile().await;
    let response = server.send("GET", "/credential", &[("authorization", "Bearer a.secret.token")], "").await;
    assert_eq!(response.text(), "unseen");
}

#[tokio::test]
async fn a_flood_of_log_is_cut() {
    let server = TestServer::start_hostile().await;
    assert_eq!(server.get("/log").await.text(), "logged");
    // Fields that are dropped are not copied: together they are more than a call may copy.
    assert_eq!(server.get("/log-fields").await.text(), "logged");
}

#[tokio::test]
async fn a_call_that_waits_is_lost_with_its_instance_and_told_so() {
    let server = TestServer::start_hostile().await;
    let mut waiting = connect(&server).await;
    waiting.write_all(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    assert_eq!(server.get("/fine").await.text(), "fine");
    assert_eq!(server.get("/trap").await.status, StatusCode::NOT_FOUND);
    let mut head = [0; 12];
    tokio::time::timeout(RESPONSE_TIMEOUT, waiting.read_exact(&mut head))
        .await
        .expect("a response in time")
        .unwrap();
    assert_eq!(&head, b"HTTP/1.1 404");
}

/// Lists of a component are read up to their limit, and not copied whole before it is looked at: these are
/// more than the host copies, which ended the instance with all calls inside.
#[tokio::test]
async fn a_list_without_end_is_too_long_and_no_fault() {
    let data = tempfile::TempDir::new().unwrap();
    let policy = data.path().join("hostile.wasm");
    std::fs::write(&policy, HOSTILE_POLICY).unwrap();
    // On a busy machine it may need more than the 200 ms of the other tests.
    std::fs::write(data.path().join("larder.toml"), "[policy]\ndeadline_ms = 20000\n").unwrap();
    let variables = [("LARDER_POLICY", policy.to_str().unwrap()), ("LARDER_THREADS", "1")];
    let server = TestServer::start_on(data, &variables).await;
    let mut waiting = connect(&server).await;
    waiting.write_all(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf").await.unwrap();
    assert_eq!(server.get("/fine").await.text(), "fine");
    assert_eq!(server.get("/long-headers").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/many-blocks").await.text(), "Error::Invalid(\"more than 50000 blocks\")");
    waiting.write_all(b"half").await.unwrap();
    let mut response = [0; 15];
    tokio::time::timeout(RESPONSE_TIMEOUT, waiting.read_exact(&mut response)).await.unwrap().unwrap();
    assert_eq!(&response, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_download_under_way_survives_a_trap() {
    const SIZE: usize = 32 << 20;
    let server = TestServer::start_hostile().await;
    let mut transfer = connect(&server).await;
    let head =
        format!("PUT /object HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n");
    transfer.write_all(head.as_bytes()).await.unwrap();
    transfer.write_all(&vec![7; SIZE]).await.unwrap();
    let mut first = vec![0; 4096];
    transfer.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));

    assert_eq!(server.get("/trap").await.status, StatusCode::NOT_FOUND);

    let mut rest = Vec::new();
    tokio::time::timeout(RESPONSE_TIMEOUT, transfer.read_to_end(&mut rest))
        .await
        .expect("an end in time")
        .unwrap();
    let head_bytes = first.windows(4).position(|w| w == b"\r\n\r\n").expect("the end of the head") + 4;
    assert_eq!(first.len() - head_bytes + rest.len(), SIZE);
    assert!(rest.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn a_component_of_another_world_is_refused_at_the_start() {
    let data = tempfile::TempDir::new().unwrap();
    let refused = async |policy: &[u8]| {
        let builder = Larder::builder(test_config(data.path(), &[])).policy(policy.to_vec());
        match Box::pin(builder.build()).await.err() {
            Some(larder::StartError::Policy(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    // A core module without a world, a component of nobody's, and a text.
    assert!(matches!(refused(b"\0asm\x01\0\0\0").await, larder::LoadError::Module(_)));
    assert!(matches!(refused(b"\0asm\x0d\0\x01\0").await, larder::LoadError::World { .. }));
    assert!(matches!(refused(b"text").await, larder::LoadError::Component(_)));
}

async fn connect(server: &TestServer) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(address)).await.unwrap().unwrap()
}
