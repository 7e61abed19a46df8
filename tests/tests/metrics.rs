//! What a server counts while jobs save and restore, and what it says of its health.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{sync::Arc, time::Duration};

use larder::{Larder, metrics::Metrics};
use larder_tests::{BRANCH, Job, RESPONSE_TIMEOUT, TestServer, test_config, token, token_with};
use serde_json::json;
use tempfile::TempDir;

/// A server, and what it counts.
async fn start(variables: &[(&str, &str)]) -> (TestServer, Arc<Metrics>, Arc<larder::metrics::Health>) {
    let data = TempDir::new().unwrap();
    let larder = Box::pin(Larder::builder(test_config(data.path(), variables)).build()).await.unwrap();
    let (metrics, health) = (larder.metrics(), larder.health());
    (TestServer::around(larder, data), metrics, health)
}

/// The value of a series, by its whole name with labels; 0 where it is not there.
fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

/// Scrapes until a series has this value: a request is counted when its last byte is gone.
async fn wait_for(metrics: &Metrics, series: &str, expected: f64) {
    let found = async {
        while value(&metrics.render(), series) < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(RESPONSE_TIMEOUT, found).await;
    let text = metrics.render();
    assert!(waited.is_ok() && value(&text, series) == expected, "{series} is not {expected}:\n{text}");
}

#[tokio::test]
async fn a_save_and_restores_are_counted_by_what_became_of_them() {
    let (server, metrics, _) = start(&[]).await;
    let named = token_with("101", &json!({ "repository": "octo/hello" }));
    let job = Job::with_token(&server, &named);
    job.look_up("Linux-cargo-1", &[]).await;
    job.save("Linux-cargo-1", b"content").await;
    assert_eq!(job.call_about("CreateCacheEntry", "Linux-cargo-1", json!({})).await.status.as_u16(), 409);
    assert_eq!(job.restore("Linux-cargo-1").await, "content");
    job.look_up("Linux-cargo-2", &["Linux-cargo-"]).await;

    let look_up = |result: &str, by: &str| {
        format!(
            r#"larder_lookups_total{{result="{result}",match="{by}",repository="octo/hello",tool="cargo"}}"#
        )
    };
    for (series, expected) in [
        (look_up("miss", "none").as_str(), 1.0),
        (look_up("hit", "exact").as_str(), 1.0),
        (look_up("hit", "restore").as_str(), 1.0),
        (r#"larder_lookup_misses_total{cause="never-saved"}"#, 1.0),
        (r#"larder_reservations_total{result="granted"}"#, 1.0),
        (r#"larder_reservations_total{result="exists"}"#, 1.0),
        (r#"larder_uploads_total{result="finalized"}"#, 1.0),
        (r#"larder_http_requests_total{dialect="v2",route="lookup",code="200"}"#, 3.0),
        (r#"larder_http_requests_total{dialect="v2",route="upload",code="201"}"#, 1.0),
        (r#"larder_http_request_duration_seconds_count{dialect="v2",route="download"}"#, 1.0),
        (r#"larder_http_first_byte_seconds_count{route="download"}"#, 1.0),
        (r#"larder_entry_size_bytes_count{tool="cargo"}"#, 1.0),
        (r#"larder_storage_calls_total{backend="filesystem",call="put",result="ok"}"#, 1.0),
        (r#"larder_database_calls_total{backend="sqlite",call="finalize",result="ok"}"#, 1.0),
    ] {
        wait_for(&metrics, series, expected).await;
    }
    let text = metrics.scrape().await;
    assert!(value(&text, r#"larder_policy_calls_total{call="handle",result="ok"}"#) >= 7.0, "{text}");
    assert!(value(&text, "larder_policy_instances") >= 2.0, "{text}");
    assert!(value(&text, "larder_policy_memory_bytes") > 1e5, "{text}");
    assert_eq!(value(&text, "larder_storage_bytes"), 7.0);
    assert_eq!(value(&text, r#"larder_repository_storage_bytes{repository="octo/hello"}"#), 7.0, "{text}");
    assert!(value(&text, "larder_connections") >= 1.0);
    assert_eq!(value(&text, "larder_entries"), 1.0);
    assert!(text.contains("larder_longest_idle_seconds "));
    assert!(value(&text, r#"larder_sent_bytes_total{dialect="v2",path="proxied"}"#) >= 7.0);
    assert!(value(&text, r#"larder_received_bytes_total{dialect="v2",path="proxied"}"#) >= 7.0);
    // Nothing of what identifies a job, an entry or a branch is in a label.
    for secret in ["Linux-cargo-1", BRANCH, "refs/", &named[..20], "content"] {
        assert!(!text.contains(secret), "{secret}:\n{text}");
    }
}

#[tokio::test]
async fn what_is_denied_is_counted_by_its_reason() {
    let (server, metrics, _) = start(&[]).await;
    let lookup = "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
    server.send("POST", lookup, &[], "{}").await;
    let forged = format!("Bearer {}x", token("1", &[(BRANCH, 3)]));
    server.send("POST", lookup, &[("authorization", forged.as_str())], "{}").await;
    let reader = Job::with_token(&server, &token("1", &[(BRANCH, 1)]));
    let denied = reader.call_about("CreateCacheEntry", "k", json!({})).await;
    assert!(denied.text().contains("cache write denied"), "{}", denied.text());
    let url = Job::new(&server).create("forged").await;
    server.send("PUT", &format!("{url}00"), &[("x-ms-blob-type", "BlockBlob")], "x").await;
    for series in [
        r#"larder_auth_failures_total{reason="missing"}"#,
        r#"larder_auth_failures_total{reason="signature"}"#,
        r#"larder_auth_failures_total{reason="url_signature"}"#,
        r#"larder_auth_write_denied_total{cause="read_only_token"}"#,
        r#"larder_reservations_total{result="denied"}"#,
    ] {
        wait_for(&metrics, series, 1.0).await;
    }
}

#[tokio::test]
async fn a_server_without_metrics_counts_nothing() {
    let (server, metrics, _) = start(&[("LARDER_METRICS", "false")]).await;
    Job::new(&server).save("k", b"bytes").await;
    server.stop();
    let text = metrics.render();
    for family in ["larder_lookups_total{", "larder_http_requests_total{", "larder_storage_calls_total{"] {
        assert!(!text.contains(family), "{text}");
    }
}

#[tokio::test]
async fn the_main_listener_says_whether_it_is_live_and_ready() {
    let (server, _, health) = start(&[]).await;
    for (path, body) in [
        ("/livez", r#"{"status":"live"}"#),
        ("/readyz", r#"{"status":"ready","database":"ok","storage":"ok","draining":false}"#),
    ] {
        let response = server.get(path).await;
        assert_eq!((response.status.as_u16(), response.text()), (200, body));
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(server.send("HEAD", path, &[], "").await.status.as_u16(), 200);
        // Only a question for it is answered by the host; a policy may use other methods.
        assert_eq!(server.send("POST", path, &[], "").await.status.as_u16(), 404);
    }
    health.set_draining();
    let response = server.get("/readyz").await;
    assert_eq!(response.status.as_u16(), 503);
    assert_eq!(response.json()["draining"], true);
    assert_eq!(server.get("/livez").await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_server_that_stops_is_not_ready() {
    let (server, _, health) = start(&[]).await;
    assert!(health.readiness().is_ready());
    server.stop();
    assert!(health.readiness().draining && !health.readiness().is_ready());
}

#[tokio::test]
async fn the_listener_for_operators_serves_metrics_and_health_without_a_key() {
    let data = TempDir::new().unwrap();
    let config = test_config(data.path(), &[("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0")]);
    let larder = Box::pin(Larder::builder(config).build()).await.unwrap();
    let address = larder.management_address().unwrap();
    let server = TestServer::around(larder, data);
    Job::new(&server).look_up("k", &[]).await;
    let metrics = server.get(&format!("http://{address}/metrics")).await;
    assert_eq!(metrics.status.as_u16(), 200);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(value(metrics.text(), "larder_connections_limit") > 0.0, "{}", metrics.text());
    assert_eq!(server.get(&format!("http://{address}/livez")).await.json()["status"], "live");
    assert_eq!(server.get(&format!("http://{address}/readyz")).await.json()["status"], "ready");
    // Not where jobs are.
    assert_eq!(server.get("/metrics").await.status.as_u16(), 404);
}
