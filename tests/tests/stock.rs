//! The composed component under a stock `wasmtime serve`: what the protocol table does not ask.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "tests")]

#[path = "stock/client.rs"]
mod client;
#[path = "stock/faults.rs"]
mod faults;
#[path = "stock/races.rs"]
mod races;
#[path = "stock/sweeps.rs"]
mod sweeps;
#[path = "stock/tokens.rs"]
mod tokens;

use client::{Client, pattern};
use larder_tests::{StockOptions, StockServer};
use tempfile::TempDir;

/// An empty directory, beside which the server's log is.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("larder-stock-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn with(variables: &[(&'static str, &str)]) -> StockOptions {
    let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    StockOptions { variables, ..StockOptions::default() }
}

/// Starts a server that cannot serve, and returns the message of its responses.
async fn refusal(options: StockOptions) -> String {
    let data = directory();
    let server = StockServer::start(data.path(), &options);
    let response = Client::of(&server).send("GET", "/health", &[], "").await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (503, "application/json"));
    let message = response.json()["msg"].as_str().unwrap().to_owned();
    let reason = message.rsplit_once("set up: ").map_or(message.as_str(), |(_, reason)| reason);
    // It is written after the response.
    let written = async {
        while !(server.log().contains("ERROR") && server.log().contains(reason)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let written = tokio::time::timeout(std::time::Duration::from_secs(10), written).await;
    assert!(written.is_ok(), "{message}: {}", server.log());
    message
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said_in_the_response_and_in_the_log() {
    let without_directory = StockOptions { without_directory: true, ..StockOptions::default() };
    assert!(refusal(without_directory).await.contains("--dir"));
    let without_base_url = StockOptions { without_base_url: true, ..StockOptions::default() };
    assert!(refusal(without_base_url).await.contains("API_BASE_URL"));
    for name in ["LARDER_DATA", "LARDER_HS256_SECRT", "DB_DRIVER"] {
        assert!(refusal(with(&[(name, "x")])).await.contains(name));
    }
}

/// The line of wasmtime that the native server uses, and a short run of all that is stored.
#[tokio::test]
async fn an_older_wasmtime_serves_too() {
    let data = directory();
    let options = StockOptions { version: Some("48.0.2"), ..StockOptions::default() };
    let server = StockServer::start(data.path(), &options);
    everything_once(&Client::of(&server)).await;
}

async fn everything_once(client: &Client) {
    let content = pattern(300_000, 1);
    client.save("whole", &content).await;
    assert_eq!(client.restore("whole").await.unwrap(), content);
    let url = client.reserve("blocks").await;
    for (id, piece) in [("b", &content[100_000..]), ("a", &content[..100_000])] {
        assert_eq!(client.put_block(&url, id, piece).await.unwrap().status.as_u16(), 201);
    }
    assert_eq!(client.put_list(&url, &["a", "b"]).await.unwrap().status.as_u16(), 201);
    client.finalize("blocks", content.len()).await.unwrap();
    let url = client.url("blocks").await.unwrap();
    let ranged = client.send("GET", &url, &[("range", "bytes=99990-100009")], "").await;
    assert_eq!((ranged.status.as_u16(), &ranged.body[..]), (206, &content[99_990..100_010]));
    let head = client.send("HEAD", &url, &[], "").await;
    assert_eq!(head.header("content-length"), "300000");
}

/// The directory keeps the rule of comparing keys that it was made with, and its key of URLs.
#[tokio::test]
async fn a_directory_is_of_one_kind_and_keeps_its_urls_over_a_restart() {
    let data = directory();
    let mut server = StockServer::start(data.path(), &StockOptions::default());
    let client = Client::of(&server);
    client.save("Key", b"content").await;
    let url = client.url("KEY").await.unwrap();
    let target = url.strip_prefix(&server.base).unwrap().to_owned();
    server.kill();
    let other = StockServer::start(data.path(), &with(&[("LARDER_CASE_SENSITIVE_KEYS", "true")]));
    let refused = Client::of(&other).send("GET", "/health", &[], "").await;
    assert_eq!(refused.status.as_u16(), 503);
    assert!(refused.text().contains("LARDER_CASE_SENSITIVE_KEYS=false"), "{}", refused.text());
    drop(other);
    let again = StockServer::start(data.path(), &StockOptions::default());
    assert_eq!(&Client::of(&again).send("GET", &target, &[], "").await.body[..], b"content");
}

#[tokio::test]
async fn no_more_is_stored_than_the_cap() {
    let data = directory();
    let server = StockServer::start(data.path(), &with(&[("LARDER_MAX_BYTES", "1000000")]));
    let client = Client::of(&server);
    client.save("first", &pattern(600_000, 1)).await;
    let url = client.reserve("second").await;
    let refused = client.put(&url, &pattern(600_000, 2)).await.unwrap();
    assert_eq!(refused.status.as_u16(), 507, "{}", refused.text());
    let block = client.put_block(&url, "a", &pattern(500_000, 2)).await.unwrap();
    assert_eq!(block.status.as_u16(), 507, "{}", block.text());
    // A refusal is read whole, however much the client sends before it, and the connection stays good.
    for _ in 0..20 {
        assert_eq!(client.put(&url, &pattern(8_000_000, 2)).await.unwrap().status.as_u16(), 507);
    }
    assert_eq!(client.put(&url, &pattern(400_000, 2)).await.unwrap().status.as_u16(), 201);
    client.finalize("second", 400_000).await.unwrap();
    // It is full now: a reservation is refused, what is stored can be read.
    let full = client.create("third").await.unwrap();
    assert_ne!(full.json()["ok"], true, "{}", full.text());
    assert_eq!(client.restore("first").await.unwrap(), pattern(600_000, 1));
    drop(server);
    // Without a cap nothing is counted; with one again, all is counted anew.
    drop(StockServer::start(data.path(), &StockOptions::default()));
    let again = StockServer::start(data.path(), &with(&[("LARDER_MAX_BYTES", "1500000")]));
    let client = Client::of(&again);
    let url = client.reserve("third").await;
    assert_eq!(client.put(&url, &pattern(500_001, 3)).await.unwrap().status.as_u16(), 507);
    assert_eq!(client.put(&url, &pattern(500_000, 3)).await.unwrap().status.as_u16(), 201);
}
