//! `larder stats --savings`: what was served from here, and what a larger cache would have found.

use http::Method;
use serde_json::Value;

use super::{Client, StatsArgs, given, text};

/// Returns a table, JSON, or Markdown.
pub(super) async fn savings(client: &Client, args: &StatsArgs) -> anyhow::Result<String> {
    let query = given(&[("repository", args.repo.as_deref()), ("tenant", args.target.tenant())]);
    if args.summary {
        return client.text("/savings/summary", &query).await;
    }
    let savings = client.call(Method::GET, "/savings", &query, None).await?;
    Ok(if args.json { text::json(&savings) } else { tables(&savings) })
}

fn tables(savings: &Value) -> String {
    let windows: Vec<&Value> = savings["windows"].as_array().into_iter().flatten().collect();
    let total = |window: &&Value| {
        let (total, days) = (&window["total"], window["hours"].as_u64().unwrap_or_default() / 24);
        let ratio = percent(&total["hit_ratio"]);
        let counts = ["served_bytes", "saved_bytes", "evicted_bytes"].map(|name| text::bytes(total, name));
        [format!("{days} d"), text::text(total, "lookups"), ratio].into_iter().chain(counts).collect()
    };
    let header = ["WITHIN", ">LOOK-UPS", ">HIT RATIO", ">SERVED", ">SAVED", ">EVICTED"];
    let mut tables = text::table(&header, windows.iter().map(total));
    let Some(longest) = windows.last() else { return tables };
    let more = |more: &Value| {
        vec![text::bytes(more, "more_bytes"), text::text(more, "more_hits"), percent(&more["hit_ratio"])]
    };
    let rows = |name: &str| longest[name].as_array().into_iter().flatten();
    tables += "\n";
    tables += &text::table(&[">MORE ROOM", ">MORE HITS", ">HIT RATIO"], rows("with_more").map(more));
    for (list, title) in [("tools", "TOOL"), ("workflows", "WORKFLOW")] {
        let part = |row: &Value| {
            let named = if row["repository_name"].is_null() { "repository" } else { "repository_name" };
            let ratio = percent(&row["hit_ratio"]);
            vec![text::text(row, "name"), text::text(row, named), ratio, text::bytes(row, "served_bytes")]
        };
        tables += "\n";
        tables += &text::table(&[title, "REPOSITORY", ">HIT RATIO", ">SERVED"], rows(list).map(part));
    }
    tables
}

fn percent(ratio: &Value) -> String {
    ratio.as_f64().map_or("-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}
