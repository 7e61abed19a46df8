//! `larder:cache/log`: the component's lines in the host's log.

use std::fmt::Write;

use crate::engine::{
    State,
    bindings::larder::cache::log::{Host, Level},
};

const MAX_TEXT_BYTES: usize = 1024;
const MAX_FIELDS: usize = 16;

impl Host for State {
    fn emit(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let message = cut(&message);
        let fields = Fields(&fields);
        match level {
            Level::Debug => tracing::debug!(target: "larder::policy", %fields, "{message}"),
            Level::Info => tracing::info!(target: "larder::policy", %fields, "{message}"),
            Level::Warn => tracing::warn!(target: "larder::policy", %fields, "{message}"),
            Level::Error => tracing::error!(target: "larder::policy", %fields, "{message}"),
        }
        Ok(())
    }
}

/// Named values as `name="value"`, so that no value can pass for another line or field.
struct Fields<'a>(&'a [(String, String)]);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.0.iter().take(MAX_FIELDS).enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{}={:?}", cut(name), cut(value))?;
        }
        Ok(())
    }
}

/// At most [`MAX_TEXT_BYTES`] of a text, whole characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
