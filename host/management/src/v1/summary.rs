//! Savings as Markdown, for the summary of a job.

use std::fmt::Write as _;

use super::history::{HistoryRow, Savings, Window};

/// Names are cut to so many characters.
const MAX_NAME: usize = 60;

/// Returns the text. Names come from jobs, so they cannot be anything but text in it.
pub(super) fn of(savings: &Savings) -> String {
    let mut text = String::from("### Cache\n\n");
    text += "| | Hit ratio | Look-ups | Served | Saved | Evicted |\n|---|---:|---:|---:|---:|---:|\n";
    for Window { hours, total, .. } in &savings.windows {
        let served = bytes(total.served_bytes);
        let (saved, evicted) = (bytes(total.saved_bytes), bytes(total.evicted_bytes));
        let (name, ratio) = (window(*hours), percent(total.hit_ratio));
        let _ = writeln!(text, "| {name} | {ratio} | {} | {served} | {saved} | {evicted} |", total.lookups);
    }
    let Some(longest) = savings.windows.last() else { return text };
    if longest.with_more.iter().any(|more| more.more_hits > 0) {
        let _ = write!(text, "\nWith more room, in {}:", window(longest.hours));
        for more in &longest.with_more {
            let (room, ratio) = (bytes(more.more_bytes), percent(more.hit_ratio));
            let _ = write!(text, " +{room}: {ratio};");
        }
        text.pop();
        text += ".\n";
    }
    for (title, rows) in [("Tool", &longest.tools), ("Workflow", &longest.workflows)] {
        list(&mut text, title, longest.hours, rows);
    }
    text
}

fn list(text: &mut String, title: &str, hours: u32, rows: &[HistoryRow]) {
    if rows.is_empty() {
        return;
    }
    let of = window(hours);
    let _ = writeln!(
        text,
        "\n| {title}, {of} | Repository | Hit ratio | Hits | Served |\n|---|---|---:|---:|---:|"
    );
    for row in rows {
        let (name, repository) =
            (escaped(row.name.as_deref().unwrap_or_default()), escaped(row.repository()));
        let (ratio, served) = (percent(row.counts.hit_ratio), bytes(row.counts.served_bytes));
        let _ = writeln!(text, "| {name} | {repository} | {ratio} | {} | {served} |", row.counts.hits);
    }
}

fn window(hours: u32) -> String {
    match hours {
        24 => "24 hours".to_owned(),
        hours => format!("{} days", hours / 24),
    }
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

/// A number of bytes with a unit, in powers of 1,000.
fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 999.5 && unit < 5 {
        value /= 1000.0;
        unit += 1;
    }
    let name = ["B", "kB", "MB", "GB", "TB", "PB"][unit];
    if unit > 0 && value < 9.95 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// A text that means nothing in Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars().take(MAX_NAME) {
        match c {
            c if c.is_control() => escaped.push(' '),
            c if c.is_ascii_punctuation() && !matches!(c, '-' | '.' | '/' | ',') => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
