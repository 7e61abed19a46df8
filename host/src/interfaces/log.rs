//! `larder:cache/log`: log lines of the component.

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

/// The target of the component's log lines, for filters.
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
        let message = truncate(&message);
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

/// Displays fields as `name="value"`, so that no value can forge another line or field.
struct Fields<'a>(&'a [(String, String)]);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.0.iter().take(MAX_FIELDS).enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{}={:?}", truncate(name), truncate(value))?;
        }
        Ok(())
    }
}

/// Truncates a text to [`MAX_TEXT_BYTES`], at a character boundary.
fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
