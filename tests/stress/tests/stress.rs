//! The scenarios. Each starts its own server. They run one at a time, because the figures are for
//! one server on this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "stress/bodies.rs"]
mod bodies;
#[path = "stress/descriptors.rs"]
mod descriptors;
#[path = "stress/disk.rs"]
mod disk;
#[path = "stress/floods.rs"]
mod floods;
#[path = "stress/heads.rs"]
mod heads;
#[path = "stress/idle.rs"]
mod idle;
#[path = "stress/kills.rs"]
mod kills;
#[path = "stress/readers.rs"]
mod readers;
#[path = "stress/searches.rs"]
mod searches;
