#![expect(clippy::unwrap_used, reason = "tests")]

mod proxy;

use std::{io::Write, time::Duration};

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    Fetch, HttpFetch, Proxies, TlsError, client_config,
    fetch::{FetchError, MAX_RESPONSE_BYTES},
};

fn fetcher() -> HttpFetch {
    HttpFetch::new(client_config(None).unwrap(), &Proxies::default())
}

/// Answers one connection with these bytes, keeps it open as long as the test runs, and returns the
/// URL.
async fn answers(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        // The client may hang up as soon as it has seen enough.
        let _ = stream.write_all(&answer).await;
        std::future::pending::<()>().await;
    });
    url
}

fn with_length(body: &[u8], length: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[tokio::test]
async fn a_body_is_returned_up_to_the_limit() {
    let url = answers(with_length(b"{}", 2)).await;
    assert_eq!(fetcher().get(&url).await.unwrap(), "{}");
    let most = vec![b'x'; MAX_RESPONSE_BYTES];
    let url = answers(with_length(&most, most.len())).await;
    assert_eq!(fetcher().get(&url).await.unwrap().len(), MAX_RESPONSE_BYTES);
}

#[tokio::test]
async fn a_longer_body_is_refused_announced_or_not() {
    let more = vec![b'x'; MAX_RESPONSE_BYTES + 1];
    let mut unannounced = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    unannounced.extend_from_slice(&more);
    for answer in [with_length(&more, more.len()), unannounced] {
        let url = answers(answer).await;
        assert!(matches!(fetcher().get(&url).await, Err(FetchError::TooLarge)));
    }
}

#[tokio::test]
async fn only_a_200_counts_and_no_redirect_is_followed() {
    for (line, expected) in [
        ("302 Found\r\nlocation: https://elsewhere.example/", StatusCode::FOUND),
        ("404 Not Found", StatusCode::NOT_FOUND),
        ("204 No Content", StatusCode::NO_CONTENT),
        ("500 Oh", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let url = answers(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes()).await;
        assert!(matches!(fetcher().get(&url).await, Err(FetchError::Status(s)) if s == expected), "{line}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_finish_is_given_up() {
    for answer in [Vec::new(), with_length(b"{", 2)] {
        let url = answers(answer).await;
        let mut hurried = fetcher();
        hurried.timeout = Duration::from_millis(50);
        assert!(matches!(hurried.get(&url).await, Err(FetchError::Timeout)));
    }
}

#[tokio::test]
async fn a_connection_that_fails_says_why() {
    // Bound and dropped: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = fetcher().get(&format!("http://127.0.0.1:{port}/")).await.unwrap_err().to_string();
    assert!(refused.contains("refused"), "{refused}");
    let url = answers(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let plain = fetcher().get(&url.replace("http:", "https:")).await.unwrap_err();
    assert!(matches!(plain, FetchError::Connection(_)), "a plain server is not taken for a TLS one");
}

#[tokio::test]
async fn other_urls_are_not_fetched() {
    for url in ["http://example.com/", "ftp://localhost/", "", "localhost"] {
        assert!(matches!(fetcher().get(url).await, Err(FetchError::Url)), "{url}");
    }
}

#[test]
fn a_file_of_certificates_must_have_one() {
    let of = |content: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        client_config(Some(file.path())).map(drop)
    };
    assert!(matches!(of(b""), Err(TlsError::NoCertificate(_))));
    assert!(matches!(of(b"text"), Err(TlsError::NoCertificate(_))));
    let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(of(garbage), Err(TlsError::NoCertificate(_))));
    assert!(matches!(of(b"-----BEGIN CERTIFICATE-----\n!\n"), Err(TlsError::CaFile { .. })));
    assert!(matches!(client_config(Some("/no/such/file".as_ref())), Err(TlsError::CaFile { .. })));
}
