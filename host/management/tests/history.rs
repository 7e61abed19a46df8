//! History and savings.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(dead_code, reason = "what this test does not need of the setup")]

mod support;

use http::StatusCode;
use larder_index::catalogue::{HistoryBatch, HistoryCounts, HistoryKind, HistoryRow};
use serde_json::json;
use support::{MASTER, Setup, name};

fn row(repository: &str, kind: HistoryKind, name: &str, hits: u64) -> HistoryRow {
    let counts = HistoryCounts {
        hits,
        misses: 4,
        stale: 1,
        served_bytes: 1_000_000 * hits,
        saved_bytes: 7,
        evicted_bytes: 8,
        ghosts: [1, 2, 3],
    };
    let (repository, name) = (repository.to_owned(), name.to_owned());
    HistoryRow { hour: 0, repository, kind, name, counts }
}

/// The server's time is in the first hour of 1970.
async fn setup() -> Setup {
    let setup = Setup::new().await;
    let index = setup.default();
    name(&*index, "7", "acme/app").await;
    let rows = vec![
        row("7", HistoryKind::Tool, "cargo", 15),
        row("7", HistoryKind::Tool, "npm", 5),
        row("8", HistoryKind::Tool, "npm", 10),
        row("7", HistoryKind::Workflow, "CI | <b>", 20),
    ];
    let batch = HistoryBatch { writer: "w".to_owned(), number: 1, at_ms: 1, rows };
    index.add_history(&batch).await.unwrap();
    setup
}

#[tokio::test]
async fn history_is_listed_by_hour_repository_tool_or_workflow() {
    let setup = setup().await;
    let rows = async |query: &str| {
        let asked = setup.get(&format!("/api/v1/history?{query}"), MASTER).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
        let listed = asked.json()["rows"].as_array().unwrap().clone();
        let part = |row: &serde_json::Value| {
            json!([row["start_ms"], row["repository_name"], row["repository"], row["name"], row["hits"]])
        };
        listed.iter().map(part).collect::<Vec<_>>()
    };
    let none = serde_json::Value::Null;
    assert_eq!(rows("").await, [json!([0, none, none, none, 30])]);
    assert_eq!(rows("hours=1&repository=8").await, [json!([0, none, none, none, 10])]);
    let repositories = [json!([none, "acme/app", "7", none, 20]), json!([none, none, "8", none, 10])];
    assert_eq!(rows("by=repository").await, repositories);
    let tools = [json!([none, "acme/app", "7", "cargo", 15]), json!([none, "acme/app", "7", "npm", 5])];
    assert_eq!(rows("by=tool&repository=acme/app").await, tools);
    assert_eq!(rows("by=workflow&limit=1").await, [json!([none, "acme/app", "7", "CI | <b>", 20])]);
    for wrong in ["hours=0", "hours=2209", "limit=0", "limit=10001", "by=key"] {
        let asked = setup.get(&format!("/api/v1/history?{wrong}"), MASTER).await;
        assert_eq!(asked.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    // Nothing of another tenant.
    let blue = setup.get("/api/v1/history?tenant=blue", MASTER).await;
    assert_eq!(blue.json()["rows"], json!([]));
}

#[tokio::test]
async fn savings_say_what_was_served_and_what_more_room_would_have_found() {
    let setup = setup().await;
    let savings = setup.get("/api/v1/savings", MASTER).await.json();
    let windows = savings["windows"].as_array().unwrap();
    assert_eq!(windows.iter().map(|window| &window["hours"]).collect::<Vec<_>>(), [24, 168, 720]);
    let day = &windows[0];
    // 30 hits of 45 look-ups; of the 12 misses 3, 6 and 9 were evicted by less than that.
    assert_eq!(day["total"]["lookups"], 45);
    assert_eq!(day["total"]["served_bytes"], 30_000_000);
    assert_eq!(
        day["with_more"],
        json!([
            { "more_bytes": 10_000_000_000_u64, "more_hits": 3, "hit_ratio": 33.0 / 45.0 },
            { "more_bytes": 50_000_000_000_u64, "more_hits": 6, "hit_ratio": 36.0 / 45.0 },
            { "more_bytes": 100_000_000_000_u64, "more_hits": 9, "hit_ratio": 39.0 / 45.0 },
        ])
    );
    let named = |list: &str, name: &str| {
        let list = day[list].as_array().unwrap();
        list.iter().map(|row| json!([row[name], row["hits"]])).collect::<Vec<_>>()
    };
    assert_eq!(named("repositories", "repository"), [json!(["7", 20]), json!(["8", 10])]);
    assert_eq!(named("tools", "name"), [json!(["cargo", 15]), json!(["npm", 10]), json!(["npm", 5])]);
    assert_eq!(named("workflows", "name"), [json!(["CI | <b>", 20])]);
    let one = setup.get("/api/v1/savings?repository=8", MASTER).await.json();
    assert_eq!(one["windows"][0]["total"]["hits"], 10);
}

#[tokio::test]
async fn a_summary_is_markdown_in_which_names_are_text() {
    let setup = setup().await;
    let text = setup.get("/api/v1/savings/summary?repository=acme/app", MASTER).await.text;
    assert!(text.contains("| 24 hours | 66.7 % | 30 | 20 MB | 14 B | 16 B |"), "{text}");
    assert!(text.contains("+10 GB: 73.3 %; +50 GB: 80.0 %; +100 GB: 86.7 %."), "{text}");
    assert!(text.contains("| cargo | acme/app | 75.0 % | 15 | 15 MB |"), "{text}");
    assert!(text.contains("| CI &#124; &#60;b&#62; | acme/app |"), "{text}");
    assert!(!text.contains("<b>"), "{text}");
}
