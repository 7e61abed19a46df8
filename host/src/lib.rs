//! Larder: a self-hosted GitHub Actions cache server.
//!
//! A native host runs a WebAssembly component, the *guest*. The guest decides what a request means, what matches, what is
//! stale and what is swept; the host has HTTP, storage, database and tokens, and moves the bytes. See `ARCHITECTURE.md`.
//!
//! Along the path of a request: [`server`] takes it from the socket, [`engine`] hands it to the guest, `interfaces` answers
//! the guest's calls with [`storage`], [`index`], [`auth`] and [`net`], and [`message`] carries what goes in and out.
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
