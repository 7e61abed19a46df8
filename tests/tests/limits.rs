//! Bad input: malformed requests, and tokens that are not valid.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use larder_tests::{RESPONSE_TIMEOUT, SECRET, TestServer};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends bytes, closes the sending side and returns everything received.
async fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        String::from_utf8_lossy(&response).into_owned()
    };
    tokio::time::timeout(RESPONSE_TIMEOUT, exchange).await.expect("an end in time")
}

#[tokio::test]
async fn what_is_no_request_is_refused_without_html() {
    let server = TestServer::start(&[]).await;
    let long = format!("GET /health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(200 << 10));
    let many = format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(500));
    for (bytes, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
    ] {
        let response = raw(&server, bytes.as_bytes()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{bytes:.40}: {response}");
        assert!(!response.to_lowercase().contains("<html"), "{response}");
    }
    assert_eq!(server.get("/health").await.status.as_u16(), 200);
}

/// The server's own refusals are JSON wherever hyper allows a response, because clients retry
/// anything else.
#[tokio::test]
async fn what_the_server_refuses_by_itself_is_json() {
    let server = TestServer::start(&[]).await;
    let with_field = |length: usize| {
        let value = "x".repeat(length);
        format!("GET /health HTTP/1.1\r\nhost: x\r\nx-long: {value}\r\nconnection: close\r\n\r\n")
    };
    let with_path = |length: usize| {
        format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "x".repeat(length))
    };
    // Above 64 KiB of a target, and above 128 KiB in all, hyper refuses a request by itself; and what
    // is no HTTP.
    let after_another = format!("GET /health HTTP/1.1\r\nhost: x\r\n\r\n{}", with_path(70 << 10));
    let many = format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(500));
    for (bytes, status) in [
        (&*with_path(40 << 10), "431"),
        (&with_path(70 << 10), "414"),
        (&with_path(200 << 10), "431"),
        (&with_field(200 << 10), "431"),
        (&many, "431"),
        ("nonsense\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost x\r\n\r\n", "400"),
        ("GET /health HTTP/3.7\r\nhost: x\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "400"),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        ("CONNECT x:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("POST /health HTTP/1.1\r\nhost: user@x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}", "400"),
        (&with_field(40 << 10), "431"),
    ] {
        let response = raw(&server, bytes.as_bytes()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{bytes:.40}: {response}");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        assert!(head.to_lowercase().contains("x-ms-request-id: "), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["code"].is_string() && body["msg"].is_string());
    }
    let both = raw(&server, after_another.as_bytes()).await;
    let (first, second) = both.split_once(r#"{"status":"ok"}"#).unwrap();
    assert!(first.starts_with("HTTP/1.1 200") && second.starts_with("HTTP/1.1 414"), "{both}");
    assert!(second.contains(r#""code":"invalid_argument""#), "{second}");
}

#[tokio::test]
async fn a_target_with_an_authority_and_a_head_on_an_error_are_understood() {
    let server = TestServer::start(&[]).await;
    let absolute =
        raw(&server, b"GET http://other.example/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await;
    assert!(absolute.starts_with("HTTP/1.1 200") && absolute.ends_with(r#"{"status":"ok"}"#), "{absolute}");
    for target in ["/devstoreaccount1/download/1", "/twirp/other.Service/Call", "/_apis/artifactcache/none"] {
        let request = format!("HEAD {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let response = raw(&server, request.as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 40") && response.ends_with("\r\n\r\n"), "{response}");
    }
    let encoded = server.get("/devstoreaccount1%2Fdownload%2F1?sig=1&se=1").await;
    assert_eq!((encoded.status.as_u16(), encoded.json()["code"].as_str()), (404, Some("bad_route")));
}

/// Fault 29: requests that no supported client sends, and requests of an old one.
#[tokio::test]
async fn contradictions_are_refused_and_http_1_0_is_understood() {
    let server = TestServer::start(&[]).await;
    for (bytes, status) in [
        ("CONNECT /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: x\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.0\r\n\r\n", "200"),
    ] {
        let response = raw(&server, bytes.as_bytes()).await;
        let line = response.lines().next().unwrap_or_default();
        assert!(line.starts_with("HTTP/1.") && line[9..].starts_with(status), "{bytes:.40}: {response}");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        assert!(serde_json::from_str::<serde_json::Value>(body).unwrap().is_object());
    }
}

#[tokio::test]
async fn paths_lead_nowhere_but_to_routes() {
    let server = TestServer::start(&[]).await;
    for path in [
        "/devstoreaccount1/download/../../larder.db",
        "/devstoreaccount1/download/%2e%2e%2f%2e%2e%2flarder.db",
        "/devstoreaccount1/upload/..%2f..%2fetc%2fpasswd",
        "//devstoreaccount1/download/1",
        "/devstoreaccount1/download/99999999999999999999999",
        "/objects/00/p-00",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let response = server.send(method, path, &[], "body").await;
            assert!(response.status.is_client_error(), "{method} {path}: {}", response.status);
            assert!(["application/json", "application/xml"].contains(&response.header("content-type")));
        }
    }
}

#[tokio::test]
async fn each_kind_of_wrong_token_is_401_in_json() {
    let server = TestServer::start(&[]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ac = json!([{ "Scope": "main", "Permission": 3 }]).to_string();
    let good = json!({ "ac": ac, "repository_id": "1", "nbf": now - 10, "exp": now + 600 });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let signed = |claims: &serde_json::Value, secret: &str| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
    };
    let unsigned = {
        let whole = signed(&good, SECRET);
        let (body, _) = whole.rsplit_once('.').unwrap();
        format!("{body}.")
    };
    let tokens = [
        ("nothing", String::new()),
        ("no token", "no-token".to_owned()),
        ("another secret", signed(&good, "another secret of some length")),
        ("no signature", unsigned),
        ("expired", signed(&with("exp", json!(now - 600)), SECRET)),
        ("not yet valid", signed(&with("nbf", json!(now + 600)), SECRET)),
        ("no scopes", signed(&with("ac", serde_json::Value::Null), SECRET)),
        ("scopes that are none", signed(&with("ac", json!("[{")), SECRET)),
        ("no repository", signed(&with("repository_id", serde_json::Value::Null), SECRET)),
        ("too long", "a".repeat(20 << 10)),
    ];
    let path = "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
    let call = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        server.send("POST", path, &headers, r#"{"key":"k","version":"v"}"#).await
    };
    assert_eq!(call(&signed(&good, SECRET)).await.status.as_u16(), 200);
    for (what, token) in tokens {
        let response = call(&token).await;
        assert_eq!(response.status.as_u16(), 401, "{what}: {}", response.text());
        assert_eq!(response.json()["code"], "unauthenticated", "{what}");
        assert!(
            token.is_empty() || !response.text().contains(&token),
            "{what}: the response repeats the token"
        );
    }
}

#[tokio::test]
async fn what_was_saved_is_there_after_a_restart_and_urls_stay_good() {
    let server = TestServer::start(&[]).await;
    let token = larder_tests::token("1", &[("main", 3)]);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let service = "/twirp/github.actions.results.api.v1.CacheService";
    let slot = r#"{"key":"k","version":"v"}"#;
    let created = server.send("POST", &format!("{service}/CreateCacheEntry"), &headers, slot).await.json();
    server.send("PUT", created["signed_upload_url"].as_str().unwrap(), &[], "content").await;
    let finalize = r#"{"key":"k","version":"v","size_bytes":7}"#;
    server.send("POST", &format!("{service}/FinalizeCacheEntryUpload"), &headers, finalize).await;
    let found =
        server.send("POST", &format!("{service}/GetCacheEntryDownloadURL"), &headers, slot).await.json();
    let url = found["signed_download_url"].as_str().unwrap().strip_prefix(&server.base).unwrap().to_owned();

    let server = TestServer::start_on(server.stop(), &[]).await;
    let response = server.get(&url).await;
    assert_eq!((response.status.as_u16(), response.text()), (200, "content"));
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_spoken_on_the_same_port() {
    let server = TestServer::start(&[]).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Empty<bytes::Bytes>>();
    let response = tokio::time::timeout(
        RESPONSE_TIMEOUT,
        client.get(format!("{}/health", server.base).parse().unwrap()),
    );
    let response = response.await.expect("a response in time").unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
}
