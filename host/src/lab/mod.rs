//! The lab: what other rules, other policies or another size would have done with the requests of a trace
//! (`larder rules replay`).
//!
//! Look-ups, saves and deletions go through the real index (SQLite, a temporary database), on the clock of
//! the trace. For the built-in policy and for rules room is made by the evictor, and entries are deleted by
//! the sweep, as in the server, with the built-in component; there is no content. A [`Preset`] is another
//! order in which entries go: it is asked in place of evictor and sweep.
//!
//! What is simulated, and what is not, is in ARCHITECTURE.md. The same trace gives the same numbers.

mod contents;
mod gathering;
mod lookup;
mod outcome;
mod replay;
mod save;
mod shelf;
mod stage;
mod trace;

use std::{path::PathBuf, sync::Arc};

use larder_index::IndexError;
use larder_rules::Rules;

pub use self::{
    outcome::{KeyOutcome, Outcome, SERIES},
    replay::replay,
    shelf::Preset,
    trace::{Trace, TraceError},
};
use crate::{engine::LoadError, error::StartError};

/// What decides which entries stay.
#[derive(Clone, Debug)]
pub enum Contender {
    /// The built-in policy, as the server runs it.
    BuiltIn,
    /// The same under these rules.
    Rules(Arc<Rules>),
    /// Another order in which entries go.
    Preset(Preset),
}

impl Contender {
    /// What it is called in tables.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Rules(rules) => rules.name(),
            Self::Preset(preset) => preset.name(),
        }
    }
}

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A runtime for it cannot be made.
    #[error("cannot prepare the replay")]
    Io(#[from] std::io::Error),
    /// The index failed.
    #[error("the index failed")]
    Index(#[from] IndexError),
    /// The built-in policy does not load.
    #[error("the built-in policy cannot be loaded")]
    Load(#[from] LoadError),
    /// The built-in policy failed, or the sweep.
    #[error("{0}")]
    Policy(String),
    /// Something of a server that a replay needs.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// How a trace is replayed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes that may be stored.
    pub size_bytes: u64,
    /// Where compiled components are kept, if they are.
    pub compiled: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
