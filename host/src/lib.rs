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
mod causes;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod engine;
pub mod index;
mod interfaces;
pub mod message;
pub mod net;
pub mod pressure;
pub mod retention;
pub mod server;
pub mod services;
mod start;
pub mod storage;
pub mod sweep;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod throttle;

pub use start::{Larder, StartError, start, start_with};

/// The policy component that is built in.
pub const BUILT_IN_POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));
