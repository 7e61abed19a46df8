//! Larder's policy: what a request means, what matches, what is stale, what is swept.
//!
//! Built for wasm this is the component that the host runs (`bindings`); built natively it is a library of plain functions
//! over [`ports::Host`], which is how it is tested. Along the path of a request: `route` says what is asked,
//! [`handler`] hands it on, `twirp` and `v1` answer the cache service's calls with what `service` does, `blob` the transfers of
//! bytes, `forward` everything that is not ours. Must never know a storage driver, a database, a secret or a token: it sees handles and claims.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod handler;
pub mod ports;
pub mod retention;

mod bindings;
mod blob;
mod cleanup;
mod forward;
mod matching;
mod pages;
mod query;
mod route;
mod service;
mod stale;
mod twirp;
mod url;
mod v1;
mod writer;
