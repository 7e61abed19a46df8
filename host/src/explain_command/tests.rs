#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::in_words;

/// Keys, versions and scopes are chosen by jobs.
#[test]
fn what_jobs_have_chosen_makes_no_lines_and_steers_no_terminal() {
    let bad = "k\nhit\r\u{1b}[2J\u{9b}";
    let near = json!({
        "cause": "other-scope", "scope": bad, "version": bad, "key": bad, "entry": 1, "size_bytes": 1, "created_ms": 0,
        "deleted": { "at_ms": 0, "cause": "age" },
    });
    let finding = json!({ "entry": 1, "key": bad, "size_bytes": 1, "created_ms": 0, "last_used_ms": 0 });
    let attempt =
        json!({ "scope": bad, "key": bad, "is_prefix": true, "found": "stale", "finding": finding });
    let told =
        json!({ "version": bad, "attempts": [attempt], "near": [near], "cause": "stale", "repository": bad });
    let text = in_words(bad, &serde_json::from_value(told).unwrap());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[2], lines[3]), (5, "miss: stale", "near it:"), "{text}");
    assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{text:?}");
    assert!(lines[4].contains("k\u{fffd}hit"), "{text}");
}
