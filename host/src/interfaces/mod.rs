//! The host's side of the cache world: one file per WIT interface, of the same name. Below `engine/`, which runs components.
//!
//! Each turns calls of the component into calls of a driver, and the driver's types and errors into the world's; the one
//! place where an error changes its kind is `errors.rs`. What comes from a component is hostile until it is checked here.
//! `bindings.rs` is what wasmtime makes of `wit/`, `state.rs` the data of an instance.

mod auth;
pub(crate) mod bindings;
mod errors;
mod for_request;
pub(crate) mod handler;
mod http;
mod index;
mod log;
pub(crate) mod retention;
mod settings;
pub(crate) mod state;
mod storage;
pub(crate) mod types;

use wasmtime::component::{HasSelf, Linker};

use self::{bindings::larder::cache, state::State};

/// Links the imports of the cache world that are not WASI's.
///
/// # Errors
/// When the linker has one of them already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    cache::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::settings::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::auth::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::http::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::storage::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cache::index::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}
