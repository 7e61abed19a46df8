//! The host's side of the cache world: one file per WIT interface, of the same name.
//!
//! Each turns calls of the component into calls of a driver, and the driver's types and errors into the world's; the one
//! place where an error changes its kind is `errors.rs`. What comes from a component is hostile until it is checked here.

pub(crate) mod auth;
pub(crate) mod db;
mod errors;
mod for_request;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod retention;
pub(crate) mod settings;
pub(crate) mod storage;
pub(crate) mod types;
