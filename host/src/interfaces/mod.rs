//! The host's side of the cache world: one file for each WIT interface, with its name. Below
//! `engine/`, which runs components.
//!
//! Each file turns calls of the component into calls of a driver, and converts the results.
//! `errors.rs` converts all errors. Input from a component is hostile until it is validated here.
//! `bindings.rs` is generated from `wit/`; `state.rs` is the data of an instance; `v0_5.rs` has what was
//! different in an earlier version of the world.

pub(crate) mod answers;
mod at_most;
mod auth;
pub(crate) mod bindings;
mod errors;
pub(crate) mod explain;
mod for_request;
pub(crate) mod handler;
mod http;
mod index;
mod lists;
mod log;
pub(crate) mod retention;
mod rules;
mod settings;
pub(crate) mod state;
mod storage;
pub(crate) mod types;
pub(crate) mod v0_5;

use wasmtime::component::{HasSelf, Linker};

use self::{bindings::larder::cache, state::State};

/// Adds the imports of the cache world, except WASI's, to the linker.
///
/// # Errors
/// When the linker already has one of them.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    cache::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    log::add_to_linker(linker)?;
    cache::settings::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::auth::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::http::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::storage::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::index::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::rules::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    lists::add_to_linker(linker)
}
