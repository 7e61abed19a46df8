//! The exports: they convert, check what comes from the policy, and call the rest.

mod auth;
mod bridge;
mod http;
mod index;
mod log;
mod rules;
mod settings;
mod storage;
mod sweeper;
mod types;

pub(crate) use log::log;

use crate::bindings::exports::larder::cache::log::Level;

/// The component.
pub(crate) struct Provider;
crate::bindings::export!(Provider with_types_in crate::bindings);

/// Logs an error of the directory, and returns what the policy hears of it.
pub(crate) fn unavailable(call: &str, why: &str) -> String {
    log(Level::Error, &format!("{call}: {why}"));
    format!("{call} failed")
}
