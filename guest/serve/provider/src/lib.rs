//! A provider: what Larder's policy component imports (`wit/`), on WASI alone, in one preopened
//! directory. Composed with the policy and an edge it runs under a stock `wasmtime serve`.
//!
//! Several instances run at once and share nothing but the directory, which has no locks. `directory`
//! names the atomic calls that everything is made of; `index` and `storage` are generic over it, so
//! that their tests run natively, on threads, with a crash at each call. What needs WASI is compiled
//! for wasm only.

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, unused_imports, reason = "the exports, which use the rest, are compiled for wasm only")
)]

mod auth;
mod bindings;
mod capacity;
mod config;
mod directory;
#[cfg(target_arch = "wasm32")]
mod exports;
#[path = "../../../../host/common/src/facts.rs"]
#[allow(dead_code, unreachable_pub, reason = "public in the native server's library")]
mod facts;
mod index;
#[cfg(target_arch = "wasm32")]
mod instance;
mod register;
mod storage;
