//! `larder scrub`: starts a scrub, shows how far it is, and says what it found.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::bail;
use http::Method;
use serde_json::{Value, json};

use super::{
    args::ScrubArgs,
    client::Client,
    given,
    text::{bytes, json as in_json, list, size, table, text},
};

/// How often the server is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a command prints, and whether it did what it should.
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) is_good: bool,
}

/// Runs the command. What is bad or could not be read makes it fail.
pub(crate) async fn scrub(args: ScrubArgs) -> anyhow::Result<Printed> {
    let client = args.target.client().await?;
    let tenant = args.target.tenant();
    let query = given(&[("tenant", tenant)]);
    let asked = json!({
        "repair": args.repair,
        "record": args.record,
        "bytes_per_second": args.rate.unwrap_or_default(),
        "repository": args.repo,
        "after": args.after,
    });
    client.call(Method::POST, "/scrub", &query, Some(&asked)).await?;
    let status = wait(&client, &query, !args.json).await?;
    if status["complete"] != true {
        let last = text(&status, "last_entry");
        let why = status["error"].as_str().map_or("it was stopped".to_owned(), super::printable);
        bail!("the scrub did not come to its end ({why}); `--after {last}` goes on");
    }
    let is_good = status["bad"] == 0 && status["unreadable"] == 0;
    let text = if args.json { in_json(&status) } else { report(&status) };
    Ok(Printed { text, is_good })
}

async fn wait(client: &Client, query: &[(&str, &str)], for_people: bool) -> anyhow::Result<Value> {
    let mut progress = Progress { is_shown: for_people && std::io::stderr().is_terminal() };
    loop {
        let status = client.call(Method::GET, "/scrub", query, None).await?;
        if status["running"] != true {
            progress.end();
            return Ok(status);
        }
        progress.show(&status);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A line on the terminal that is written over.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn show(&mut self, status: &Value) {
        let of = status["entries"].as_u64().map_or(String::new(), |all| format!(" of {all}"));
        let line = format!(
            "{}{of} entries, {} read, {} bad",
            text(status, "checked"),
            bytes(status, "bytes"),
            text(status, "bad")
        );
        self.write(&line);
    }

    fn end(&mut self) {
        self.write("");
    }

    fn write(&mut self, line: &str) {
        if self.is_shown {
            // Without a terminal there is nothing to show.
            self.is_shown = write!(std::io::stderr(), "\r\u{1b}[K{line}").is_ok();
        }
    }
}

fn report(status: &Value) -> String {
    let row = |entry: &Value| {
        let deleted = if entry["repaired"] == true { "deleted" } else { "" };
        vec![
            text(entry, "id"),
            text(entry, "problem"),
            text(entry, "key"),
            bytes(entry, "size_bytes"),
            text(entry, "repository"),
            text(entry, "scope"),
            deleted.to_owned(),
        ]
    };
    let bad = status["bad_entries"].as_array().map_or(&[][..], Vec::as_slice);
    let mut all = if bad.is_empty() {
        String::new()
    } else {
        table(&[">ID", "PROBLEM", "KEY", ">SIZE", "REPOSITORY", "REF", ""], bad.iter().map(row))
    };
    all.push_str(&list(&[
        ("checked", format!("{} entries", text(status, "checked"))),
        ("read", size(status["bytes"].as_u64().unwrap_or_default())),
        ("bad", text(status, "bad")),
        ("deleted", text(status, "repaired")),
        ("unreadable", text(status, "unreadable")),
        ("no digest", text(status, "unrecorded")),
        ("recorded", text(status, "recorded")),
    ]));
    all
}
