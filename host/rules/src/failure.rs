//! Why there are no rules, or no answer.

use std::{fmt, io};

use larder_common::causes::chain;

use crate::types::Interface;

/// Why rules cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The engine, or the thread that measures time, does not start.
    #[error("the engine of the rules does not start")]
    Engine(#[source] io::Error),
    /// Neither a component nor a script.
    #[error("neither a WebAssembly component nor a script: {0}")]
    NotRules(String),
    /// The process that was to compile them took too much, or crashed.
    #[error("the rules were not compiled: {0}")]
    NotCompiled(String),
    /// The component does not fit the world.
    #[error("the component does not fit the world larder:rules/rules@0.1.0: {0}")]
    World(String),
    /// None of the world's interfaces is there.
    #[error("none of `access`, `restore`, `save` and `retention` is exported")]
    Empty,
    /// It does not start within its limits.
    #[error("the rules do not start: {0}")]
    Start(#[source] Failure),
}

impl RulesError {
    /// What is wrong, for the author of rules in a file of this name: `shown:LINE: text` where the line of a script that
    /// failed is known, else `shown: text`.
    #[must_use]
    pub fn at(&self, name: &str, shown: impl fmt::Display) -> String {
        let Self::Start(failure) = self else { return format!("{shown}: {}", chain(self)) };
        match failure.line(name) {
            Some(line) => format!("{shown}:{line}: {}", failure.text),
            None => format!("{shown}: {}", failure.text),
        }
    }
}

/// How a question failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// It threw an exception, trapped, or called an import that it does not have.
    Trap,
    /// It took too much CPU time.
    Deadline,
    /// It took too much memory.
    Memory,
    /// Its answer is out of bounds.
    InvalidAnswer,
    /// The rules do not answer such questions.
    NotExported,
    /// It was not asked, because earlier questions took too long in vain.
    Resting,
}

impl FailureKind {
    /// Its name, in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::InvalidAnswer => "invalid-answer",
            Self::NotExported => "not-exported",
            Self::Resting => "resting",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a question has no answer. Its text is the author's: it may contain anything that the rules were
/// told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How it failed.
    pub kind: FailureKind,
    /// The interface that was asked; `None` while the rules started.
    pub interface: Option<Interface>,
    /// What the rules wrote to their standard error (up to 4 KiB), else what the engine says. Without
    /// a line break at the end, and without control characters but those of lines and columns: it is shown in
    /// terminals, and rules may come from anybody.
    pub text: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        let is_of_terminals = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        Self { kind, interface: None, text: text.into().replace(is_of_terminals, "\u{fffd}") }
    }

    pub(crate) fn of(self, interface: Interface) -> Self {
        Self { interface: Some(interface), ..self }
    }

    /// The line of the script that failed, if the text names it: the first `name:LINE` of a stack.
    #[must_use]
    pub fn line(&self, script: &str) -> Option<u32> {
        let after = self.text.split(script).skip(1).find_map(|rest| rest.strip_prefix(':'))?;
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// The text up to its first line break, in at most 200 bytes: for the log.
    #[must_use]
    pub fn summary(&self) -> &str {
        let line = self.text.lines().next().unwrap_or_default();
        &line[..line.floor_char_boundary(200)]
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interface {
            Some(interface) => write!(f, "{interface}: {}: {}", self.kind, self.text),
            None => write!(f, "{}: {}", self.kind, self.text),
        }
    }
}

impl std::error::Error for Failure {}
