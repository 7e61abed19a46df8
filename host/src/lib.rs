//! Larder: a self-hosted GitHub Actions cache server.
//!
//! A native host runs a WebAssembly component, the *guest*. The guest is the policy: it routes requests, matches keys, and selects
//! stale and expired entries. The host implements HTTP, storage, database and tokens, and moves the bytes. See `ARCHITECTURE.md`.
//!
//! Along the path of a request: [`server`] reads it from the socket, [`engine`] passes it to the guest, `interfaces` implements the
//! guest's imports with [`storage`], [`index`], [`auth`] and [`net`], and [`message`] has the requests and responses.
//! Beside it: [`sweep`] runs by the clock, and [`pressure`] where a disk is full; [`retention`] tracks last uses and durability, and has
//! what a sweep shows the guest. [`start()`] puts it all together, [`descriptors`] divides the process's open files up.

pub mod auth;
pub mod config;
pub mod descriptors;
pub mod engine;
mod interfaces;
pub mod message;
pub mod net;
pub mod pressure;
pub mod retention;
pub mod server;
pub mod services;
mod start;
pub mod sweep;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod throttle;

use larder_common::causes;
pub use larder_common::clock;
pub use larder_index as index;
pub use larder_storage as storage;
pub use start::{Larder, StartError, start, start_with};

/// The policy component that is built in.
pub const BUILT_IN_POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));
