//! The server in a process of its own, attacked and killed, with a healthy client beside it.
//!
//! [`server`] runs the release binary, [`usage`] reads its resource usage, [`client`] speaks the
//! protocol, [`healthy`] is the client that must not notice the attack, [`attack`] has the
//! attackers, and [`siege`] combines them. The scenarios are in `tests/stress/`; `README.md` lists
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod attack;
pub mod client;
pub mod healthy;
pub mod scale;
pub mod server;
pub mod siege;
pub mod usage;
