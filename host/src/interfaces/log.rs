//! `larder:cache/log`: log lines of the component.

use std::{borrow::Cow, fmt::Write};

use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Linker, WasmList, WasmStr},
};

use super::{bindings::larder::cache::log::Level, state::State};
use crate::telemetry::RequestScope;

/// The interface, with the version of the world.
const INTERFACE: &str = "larder:cache/log@0.6.0";
const MAX_TEXT_BYTES: usize = 1024;
const MAX_FIELDS: usize = 16;

/// The target of the component's log lines, for filters.
pub(super) const TARGET: &str = "larder::policy";

type Texts = (WasmStr, WasmStr);

/// Links `emit`, in place of the generated function: that would copy all texts out of the component, up to
/// 17 MiB in a call, which holds up everybody on the thread. Here they are read where they are, and fields that
/// are dropped are not read at all.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap(
        "emit",
        |store, (level, message, fields): (Level, WasmStr, WasmList<Texts>)| {
            emit(store, level, &message, &fields)
        },
    )
}

fn emit(
    mut store: StoreContextMut<'_, State>,
    level: Level,
    message: &WasmStr,
    fields: &WasmList<Texts>,
) -> wasmtime::Result<()> {
    let scope = super::for_request::scope_in(store.as_context_mut());
    let _in_request = scope.as_ref().map(RequestScope::enter);
    let mut kept = Vec::with_capacity(MAX_FIELDS);
    for index in 0..MAX_FIELDS {
        let Some(field) = fields.get(&mut store, index) else { break };
        kept.push(field?);
    }
    let message = message.to_str(&store)?;
    let read = |(name, value): &Texts| Ok((name.to_str(&store)?, value.to_str(&store)?));
    let fields = Fields(kept.iter().map(read).collect::<wasmtime::Result<Vec<_>>>()?);
    let message = truncate(&message);
    match level {
        Level::Debug => tracing::debug!(target: TARGET, %fields, "{message}"),
        Level::Info => tracing::info!(target: TARGET, %fields, "{message}"),
        Level::Warn => tracing::warn!(target: TARGET, %fields, "{message}"),
        Level::Error => tracing::error!(target: TARGET, %fields, "{message}"),
    }
    Ok(())
}

/// Displays fields as `name="value"`, so that no value can forge another line or field.
struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
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
