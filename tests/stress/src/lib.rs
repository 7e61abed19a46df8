//! The server as a process of its own, attacked and killed, with a healthy client beside it.
//!
//! [`server`] runs the release binary, [`usage`] reads what it takes of the machine, [`client`] speaks the protocol, [`healthy`] is
//! the client that must not notice anything, [`attack`] has the others, and [`siege`] puts them together. The scenarios are in
//! `tests/stress/`; `README.md` has the table of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod attack;
pub mod client;
pub mod healthy;
pub mod scale;
pub mod server;
pub mod siege;
pub mod usage;
