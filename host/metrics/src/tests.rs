//! What is counted, how it is written, and what bounds it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use larder_index::{Index, KeyRule, sqlite::SqliteIndex};
use tower::ServiceExt;

use crate::{
    AuthFailure, BuildInfo, FinishedRequest, Health, InForce, MeasuredIndex, Metrics, Pool, Settings,
    Snapshot, Source, routes,
};

const LOOKUP: &str = "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
const CREATE: &str = "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry";

fn metrics() -> Arc<Metrics> {
    Metrics::new(&Settings::default(), &BuildInfo::default())
}

fn lookup<'a>(repository: &'a str, key: &'a str, outcome: &'a str) -> FinishedRequest<'a> {
    FinishedRequest {
        method: "POST",
        path: LOOKUP,
        status: Some(200),
        outcome,
        repository: Some(repository),
        key: Some(key),
        duration: Duration::from_millis(3),
        ..FinishedRequest::default()
    }
}

/// Returns the value of a series, by its whole name with labels.
fn value(text: &str, series: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ').unwrap().1.parse().ok()
}

#[test]
fn a_lookup_counts_by_result_match_repository_and_tool() {
    let metrics = metrics();
    metrics.count(&lookup("o/r", "Linux-cargo-1", "hit"));
    metrics.count(&FinishedRequest {
        matched_key: Some("linux-CARGO-12"),
        ..lookup("o/r", "Linux-cargo-1", "hit")
    });
    metrics.count(&FinishedRequest { matched_key: Some("Linux-"), ..lookup("o/r", "Linux-cargo-1", "hit") });
    metrics.count(&FinishedRequest { miss: Some("evicted"), ..lookup("o/r", "npm-1", "miss") });
    metrics.count(&FinishedRequest { tenant: Some("acme"), ..lookup("7", "npm-1", "hit") });
    let text = metrics.render();
    for series in [
        r#"larder_lookups_total{result="hit",match="exact",repository="o/r",tool="cargo"}"#,
        r#"larder_lookups_total{result="hit",match="prefix",repository="o/r",tool="cargo"}"#,
        r#"larder_lookups_total{result="hit",match="restore",repository="o/r",tool="cargo"}"#,
        r#"larder_lookups_total{result="miss",match="none",repository="o/r",tool="npm"}"#,
        r#"larder_lookups_total{result="hit",match="exact",repository="@acme/7",tool="npm"}"#,
        r#"larder_lookup_misses_total{cause="evicted"}"#,
    ] {
        assert_eq!(value(&text, series), Some(1.0), "{series}\n{text}");
    }
    assert_eq!(
        value(&text, r#"larder_http_requests_total{dialect="v2",route="lookup",code="200"}"#),
        Some(5.0)
    );
    assert!(
        !text.contains("cache_requests"),
        "the known server's names are only there where they are asked for"
    );
}

#[test]
fn labels_are_bounded_whatever_comes() {
    let metrics = Metrics::new(&Settings { repositories: 3, ..Settings::default() }, &BuildInfo::default());
    for number in 0..50 {
        let (repository, key) = (format!("o/r{number}"), format!("tool{}-1", letters(number)));
        metrics.count(&lookup(&repository, "npm-1", "hit"));
        metrics.count(&lookup("o/r0", &key, "hit"));
    }
    let text = metrics.render();
    let of_others = r#"larder_lookups_total{result="hit",match="exact",repository="_other",tool="npm"}"#;
    assert_eq!(value(&text, of_others), Some(47.0));
    let series = text.lines().filter(|line| line.starts_with("larder_lookups_total{")).count();
    // Of the first repository 32 tools; of two more and of all others one each.
    assert_eq!(series, 32 + 3, "{text}");
    let rest = r#"larder_lookups_total{result="hit",match="exact",repository="o/r0",tool="_other"}"#;
    assert_eq!(value(&text, rest), Some(20.0));
}

fn letters(number: u8) -> String {
    [b'a' + number / 10, b'a' + number % 10].map(char::from).iter().collect()
}

#[test]
fn a_label_takes_no_key_scope_or_text_of_a_client() {
    let metrics = metrics();
    let hostile = "x\"} 1\nevil_total 5\n{\\";
    metrics.count(&FinishedRequest { method: hostile, path: hostile, ..lookup(hostile, hostile, "hit") });
    metrics.count(&lookup(hostile, hostile, "hit"));
    let text = metrics.render();
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{text}");
}

#[test]
fn reservations_uploads_and_refusals_have_their_results() {
    let metrics = metrics();
    let create = |status, outcome, reason| FinishedRequest {
        path: CREATE,
        status: Some(status),
        outcome,
        reason,
        ..lookup("o/r", "k", outcome)
    };
    metrics.count(&create(200, "reserved", None));
    metrics.count(&create(409, "exists", None));
    metrics.count(&create(409, "exists", Some("no room: accepted in words, so that …")));
    metrics.count(&create(507, "failed", Some("the storage is full")));
    // In protocol version 2 clients read it in a success.
    metrics.count(&create(200, "denied", Some("cache write denied: o/r")));
    metrics.count(&create(401, "denied", Some("no token")));
    metrics.count(&create(403, "denied", Some("cache write denied: the entry of this key was revoked")));
    metrics.count(&FinishedRequest { status: None, ..create(0, "", None) });
    let finalize = "/twirp/github.actions.results.api.v1.CacheService/FinalizeCacheEntryUpload";
    let refused = create(400, "refused", Some("the size should be 3 bytes, but 4 bytes were uploaded"));
    metrics.count(&FinishedRequest { path: finalize, ..refused });
    metrics.count(&FinishedRequest {
        path: "/x/_apis/artifactcache/caches/7",
        ..create(204, "finalized", None)
    });
    let text = metrics.render();
    for (series, expected) in [
        (r#"larder_reservations_total{result="granted"}"#, 1.0),
        (r#"larder_reservations_total{result="exists"}"#, 1.0),
        (r#"larder_reservations_total{result="full"}"#, 2.0),
        (r#"larder_reservations_total{result="denied"}"#, 3.0),
        (r#"larder_reservations_total{result="failed"}"#, 1.0),
        (r#"larder_auth_write_denied_total{cause="read_only_token"}"#, 1.0),
        (r#"larder_auth_write_denied_total{cause="barred"}"#, 1.0),
        (r#"larder_uploads_total{result="mismatch"}"#, 1.0),
        (r#"larder_uploads_total{result="finalized"}"#, 1.0),
        (r#"larder_http_requests_total{dialect="v2",route="reserve",code="499"}"#, 1.0),
        (r#"larder_http_requests_total{dialect="v1",route="finalize",code="204"}"#, 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
}

#[test]
fn urls_and_tokens_that_are_not_accepted_have_their_reasons() {
    let metrics = metrics();
    let denied = |reason| FinishedRequest {
        path: "/@acme/devstoreaccount1/upload/0123",
        status: Some(403),
        reason: Some(reason),
        ..lookup("o/r", "k", "denied")
    };
    metrics.count(&denied("The URL has expired"));
    metrics.count(&denied("The URL's signature is wrong"));
    metrics.count_auth_failure(AuthFailure::Issuer);
    let text = metrics.render();
    for reason in ["url_expired", "url_signature", "issuer"] {
        let series = format!(r#"larder_auth_failures_total{{reason="{reason}"}}"#);
        assert_eq!(value(&text, &series), Some(1.0), "{text}");
    }
    assert!(!text.contains("larder_auth_write_denied_total{"), "{text}");
}

#[test]
fn the_known_servers_names_are_a_setting() {
    let metrics =
        Metrics::new(&Settings { falcon_names: true, ..Settings::default() }, &BuildInfo::default());
    metrics.count(&lookup("o/r", "k", "hit"));
    metrics.count(&lookup("o/r", "k", "stale"));
    let text = metrics.render();
    assert_eq!(value(&text, r#"cache_requests_total{result="hit"}"#), Some(1.0));
    assert_eq!(value(&text, r#"cache_requests_total{result="miss"}"#), Some(1.0));
    assert_eq!(value(&text, "cache_uploads_total"), Some(0.0));
}

#[test]
fn nothing_is_counted_where_metrics_are_disabled() {
    let metrics = Metrics::disabled();
    metrics.count(&lookup("o/r", "k", "hit"));
    assert!(!metrics.render().contains("larder_lookups_total{"));
}

/// Two repositories, and nothing else that is known.
struct Two;

#[async_trait]
impl Source for Two {
    async fn snapshot(&self) -> Snapshot {
        let repositories = vec![(None, "o/a".to_owned(), 5), (Some("acme".to_owned()), "7".to_owned(), 3)];
        let swaps = vec![("ok", 3), ("went_back", 1)];
        let named = |of, name: &str, digest: &str| InForce {
            of,
            name: name.to_owned(),
            digest: digest.to_owned(),
            since_seconds: 7.5,
            swaps: swaps.clone(),
        };
        let in_force = vec![
            named("policy", "p.wasm", "aa"),
            named("rules", "no rules", ""),
            named("shadow", "r.js", "bb"),
        ];
        Snapshot {
            repositories,
            storage_bytes: Some(8),
            connections: (2, 10),
            pool: Some(Pool { size: 4, waiting: 1 }),
            uploads_reserved_bytes: Some(9),
            in_force,
            ..Snapshot::default()
        }
    }
}

#[tokio::test]
async fn a_scrape_asks_for_what_is_known_at_the_moment() {
    let metrics = metrics();
    assert!(!metrics.scrape().await.contains("larder_connections "));
    let source: Arc<dyn Source> = Arc::new(Two);
    metrics.set_source(&source);
    let text = metrics.scrape().await;
    for (series, expected) in [
        ("larder_storage_bytes", 8.0),
        ("larder_connections", 2.0),
        (r#"larder_repository_storage_bytes{repository="o/a"}"#, 5.0),
        (r#"larder_repository_storage_bytes{repository="@acme/7"}"#, 3.0),
        ("larder_database_pool_size", 4.0),
        ("larder_database_pool_waiting", 1.0),
        ("larder_uploads_reserved_bytes", 9.0),
        (r#"larder_policy_info{name="p.wasm",digest="aa",role="active"}"#, 1.0),
        ("larder_policy_active_since_timestamp_seconds", 7.5),
        (r#"larder_rules_info{name="r.js",digest="bb",role="shadow"}"#, 1.0),
        (r#"larder_policy_swaps_total{of="policy",result="ok"}"#, 3.0),
        (r#"larder_policy_swaps_total{of="shadow",result="went_back"}"#, 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    assert!(!text.contains("larder_storage_bytes_limit"), "there is none");
    assert!(!text.contains("no rules"), "there are none");
}

/// What the storage itself sends is told from what goes through the server.
#[test]
fn bytes_are_counted_by_the_way_they_go() {
    let metrics = metrics();
    metrics.count(&FinishedRequest {
        bytes_in: 3,
        bytes_out: 5,
        bytes_direct: 7,
        ..lookup("o/r", "k", "hit")
    });
    let text = metrics.render();
    for (series, expected) in [
        (r#"larder_received_bytes_total{dialect="v2",path="proxied"}"#, 3.0),
        (r#"larder_sent_bytes_total{dialect="v2",path="proxied"}"#, 5.0),
        (r#"larder_sent_bytes_total{dialect="v2",path="direct"}"#, 7.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
}

async fn get(router: &axum::Router, path: &str, accept: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn metrics_are_served_in_the_format_that_the_client_accepts() {
    let metrics = metrics();
    metrics.count(&lookup("o/r", "k", "hit"));
    let router = routes(metrics, Arc::default());
    let (status, kind, text) = get(&router, "/metrics", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.contains("# TYPE larder_http_requests_total counter\n"), "{text}");
    let (_, kind, text) = get(&router, "/metrics", "application/openmetrics-text;version=1.0.0,*/*").await;
    assert!(kind.starts_with("application/openmetrics-text"));
    assert!(text.contains("# TYPE larder_http_requests counter\n") && text.ends_with("# EOF\n"), "{text}");
    let router = routes(Metrics::disabled(), Arc::default());
    let (status, kind, _) = get(&router, "/metrics", "*/*").await;
    assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, "application/json"));
}

#[tokio::test]
async fn a_server_is_ready_when_both_have_answered_and_it_does_not_stop() {
    let health = Arc::new(Health::default());
    let router = routes(metrics(), health.clone());
    let ready = async || get(&router, "/readyz", "*/*").await;
    let (status, kind, text) = ready().await;
    assert_eq!((status, kind.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "application/json"));
    let silent = r#"{"status":"not ready","database":"silent","storage":"silent","draining":false}"#;
    assert_eq!(text, silent);
    health.database_answered();
    assert_eq!(ready().await.0, StatusCode::SERVICE_UNAVAILABLE);
    health.storage_answered();
    let (status, _, text) = ready().await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(text, r#"{"status":"ready","database":"ok","storage":"ok","draining":false}"#);
    health.set_draining();
    let (status, _, text) = ready().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, r#"{"status":"not ready","database":"ok","storage":"ok","draining":true}"#);
    assert_eq!(get(&router, "/livez", "*/*").await.0, StatusCode::OK);
}

#[test]
fn an_answer_counts_for_a_while() {
    let health = Health::default();
    health.database_answered();
    health.storage_answered();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(health.readiness_within(Duration::from_millis(5)).database, "silent");
    assert_eq!(health.readiness_within(Duration::from_secs(60)).database, "ok");
}

#[tokio::test]
async fn calls_of_the_database_are_counted_and_keep_the_server_ready() {
    let (metrics, health, data) = (metrics(), Health::default(), tempfile::tempdir().unwrap());
    let index: Arc<dyn Index> =
        Arc::new(SqliteIndex::open(&data.path().join("larder.db"), KeyRule::AnyCase).unwrap());
    let index = MeasuredIndex::around(index, "sqlite", &metrics, &health);
    index.get_entry(larder_index::EntryId(1)).await.unwrap();
    // The handle of a tenant counts, too.
    index.tenant(&"acme".parse().unwrap()).unwrap().get_entry(larder_index::EntryId(1)).await.unwrap();
    let series = r#"larder_database_calls_total{backend="sqlite",call="get_entry",result="ok"}"#;
    let text = metrics.render();
    assert_eq!(value(&text, series), Some(2.0), "{text}");
    assert!(health.has_database_answered(Duration::from_secs(60)));
    assert!(!health.has_storage_answered(Duration::from_secs(60)));
}

#[test]
fn a_process_has_the_metrics_that_all_have() {
    let text = metrics().render();
    assert!(value(&text, "process_resident_memory_bytes").unwrap() > 0.0);
    assert!(value(&text, "process_open_fds").unwrap() > 0.0);
    assert!(value(&text, "process_start_time_seconds").unwrap() > 1e9);
}
