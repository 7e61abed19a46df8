//! What the commands print for people.

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::Value;

/// Makes a table. Columns with `>` before their name are aligned to the right.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().map(|name| name.trim_start_matches('>')));
    for row in rows {
        table.add_row(row);
    }
    for (at, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

/// Names and values, below each other.
pub(crate) fn list(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in pairs {
        let _ = writeln!(text, "{name:width$}  {value}");
    }
    text
}

/// A text of a member, or a dash.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(other) => other.to_string(),
    }
}

/// Without control characters: what a job has chosen must not steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A time, in UTC, to the second.
pub(crate) fn time(value: &Value, name: &str) -> String {
    let Some(ms) = value.get(name).and_then(Value::as_u64) else { return "-".to_owned() };
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// A number of bytes with a unit.
pub(crate) fn bytes(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_u64).map_or("-".to_owned(), size)
}

/// A number of bytes with a unit, in three digits.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    // In hundredths, which fit beside the unit.
    let mut hundredths = u128::from(bytes) * 100 / 1024;
    while hundredths >= 102_400 {
        hundredths /= 1024;
        unit += 1;
    }
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[unit])
}

/// A duration in its largest units.
pub(crate) fn duration(value: &Value, name: &str) -> String {
    let Some(ms) = value.get(name).and_then(Value::as_u64) else { return "-".to_owned() };
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// JSON for programs.
pub(crate) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests;
