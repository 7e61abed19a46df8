//! An edge: `wasi:http` in front of Larder's policy component, as the native server's `server/` and
//! `interfaces/handler.rs` are.
//!
//! It checks the head of a request and the policy's response, keeps an instance alive until the
//! response is sent, and writes one line for each request to the log.

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, unused_imports, reason = "the export, which uses the rest, is compiled for wasm only")
)]

mod bindings;
mod checks;
#[cfg(target_arch = "wasm32")]
mod convert;
mod origin;
mod record;
#[cfg(target_arch = "wasm32")]
mod respond;
#[cfg(target_arch = "wasm32")]
mod send;
#[cfg(target_arch = "wasm32")]
mod sweep;
#[cfg(test)]
mod tests;
