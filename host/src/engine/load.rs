//! Why a component is no policy.

use std::io;

use larder_rules::compiled::CompileError;

use super::World;
use crate::inspect::NotAComponent;

/// Why a policy cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine does not start.
    #[error("the wasm engine does not start")]
    Engine(#[source] wasmtime::Error),
    /// The thread that measures run time does not start.
    #[error("cannot start the thread that measures the policy's run time")]
    Ticker(#[source] io::Error),
    /// A core module of which no policy can be made.
    #[error("the component cannot be made of the core module")]
    Module(#[source] NotAComponent),
    /// Not a component, or not compiled.
    #[error(transparent)]
    Component(#[from] CompileError),
    /// It is a component, but not of the cache world that this server offers.
    #[error("the component does not fit the world larder:cache/cache@{made_for}")]
    World {
        /// The version that it says it is made for, else the newest.
        made_for: String,
        /// What it does not find.
        #[source]
        source: wasmtime::Error,
    },
    /// It is made for another version of the cache world.
    #[error(
        "the component is made for larder:cache@{made_for}; this server takes {} to {}",
        World::OLDEST,
        World::NEWEST
    )]
    OtherWorld {
        /// That version.
        made_for: String,
    },
    /// It does not ask rules that are in force: what they refuse would be allowed.
    #[error(
        "rules are in force about what is restored or saved, and the component does not ask them (larder:cache/rules)"
    )]
    AsksNoRules,
    /// It does not start, or fails on its first call, within `policy.memory_bytes` and
    /// `policy.deadline_ms`.
    #[error("the component does not start within policy.memory_bytes and policy.deadline_ms")]
    Start(#[source] wasmtime::Error),
}
