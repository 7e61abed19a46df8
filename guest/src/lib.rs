//! Larder's policy: what a request means, what matches, what is stale, what is swept or evicted.
//!
//! Built for wasm, it is the component that the host runs (`bindings`). Built natively, it is a
//! library of plain functions over [`ports::Host`], which the tests use. Along the path of a
//! request: `route` finds the route, [`handler`] calls `twirp` and `v1` for the cache service (both
//! on `service`), `blob` for transfers, and `forward` for everything else. Must not depend on a
//! storage driver, a database, a secret or a token: it sees handles and claims.

pub mod explain;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod handler;
pub mod ports;
pub mod retention;
pub mod room;

mod bindings;
mod blob;
mod buildkit;
mod cleanup;
mod forward;
mod matching;
mod nearness;
mod pages;
mod query;
mod route;
mod service;
mod stale;
mod trust;
mod twirp;
mod url;
mod v1;
mod writer;
