//! The generated bindings of the edge's world. Nothing else is here.
#![allow(
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    dead_code,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated code"
)]

wit_bindgen::generate!({ path: "../wit", world: "edge", generate_all });
