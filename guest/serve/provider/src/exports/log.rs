//! `larder:cache/log`: lines for standard error. `emit` is a plain function and cannot wait, so lines
//! are collected, and written after the response.

use std::{cell::RefCell, fmt::Write};

use super::Provider;
use crate::{
    bindings::{
        exports::larder::cache::log::{Guest, Level},
        wasi::cli::stderr,
        wit_stream,
    },
    instance,
};

const MAX_TEXT_BYTES: usize = 1024;
const MAX_FIELDS: usize = 16;
/// Most bytes of lines that wait. More are dropped, and counted.
const MAX_WAITING_BYTES: usize = 256 * 1024;

thread_local! {
    static LINES: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Guest for Provider {
    fn emit(level: Level, message: String, fields: Vec<(String, String)>) {
        let mut line = truncate(&message).replace(['\n', '\r'], " ");
        for (name, value) in fields.iter().take(MAX_FIELDS) {
            let _ = write!(line, " {}={:?}", truncate(name), truncate(value));
        }
        log(level, &line);
    }
}

/// Truncates a text to [`MAX_TEXT_BYTES`], at a character boundary.
fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Adds a line to the log, unless the settings leave it out.
pub(crate) fn log(level: Level, line: &str) {
    let settings = instance::settings();
    let (quiet, debug) = settings.map_or((false, false), |settings| (settings.quiet, settings.debug));
    let name = match level {
        Level::Debug if !debug => return,
        Level::Info if quiet => return,
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    LINES.with_borrow_mut(|lines| {
        if lines.len() < MAX_WAITING_BYTES {
            let _ = writeln!(lines, "{name:>5} {line}");
        }
    });
}

/// Writes the lines.
pub(super) async fn flush() {
    let lines = LINES.take();
    if lines.is_empty() {
        return;
    }
    let (mut writer, reader) = wit_stream::new::<u8>();
    let done = stderr::write_via_stream(reader);
    writer.write_all(lines.into_bytes()).await;
    drop(writer);
    let _ = done.await;
}
