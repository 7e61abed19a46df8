//! `larder:cache/log`: the component's lines in the host's log.

use std::fmt::Write;

use wasmtime::{
    AsContextMut,
    component::{Access, HasSelf},
};

use super::{
    bindings::larder::cache::log::{Host, HostWithStore, Level},
    state::State,
};
use crate::telemetry::RequestScope;

const MAX_TEXT_BYTES: usize = 1024;
const MAX_FIELDS: usize = 16;

/// What the component's lines are called in filters.
pub(super) const TARGET: &str = "larder::policy";

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    fn emit(
        mut access: Access<'_, State, Self>,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let scope = super::for_request::scope_in(access.as_context_mut());
        let _in_request = scope.as_ref().map(RequestScope::enter);
        let message = cut(&message);
        let fields = Fields(&fields);
        match level {
            Level::Debug => tracing::debug!(target: TARGET, %fields, "{message}"),
            Level::Info => tracing::info!(target: TARGET, %fields, "{message}"),
            Level::Warn => tracing::warn!(target: TARGET, %fields, "{message}"),
            Level::Error => tracing::error!(target: TARGET, %fields, "{message}"),
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
