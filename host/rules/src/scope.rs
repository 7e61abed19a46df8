//! What a token allows, as text.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use crate::Scope;

/// A text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: NAME=r, NAME=w, NAME=rw or NAME=")]
pub struct InvalidScope;

/// What a token allows in one scope, as text: `NAME=r`, `NAME=w`, `NAME=rw` or `NAME=`.
#[derive(Clone, Copy, Debug)]
pub struct ScopeText<'a> {
    /// Usually a git ref.
    pub name: &'a str,
    /// Whether entries may be looked up.
    pub read: bool,
    /// Whether entries may be saved.
    pub write: bool,
}

impl fmt::Display for ScopeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, write) = (if self.read { "r" } else { "" }, if self.write { "w" } else { "" });
        write!(f, "{}={read}{write}", self.name)
    }
}

/// As [`ScopeText`].
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, read, write } = self;
        ScopeText { name, read: *read, write: *write }.fmt(f)
    }
}

/// Reads what [`fmt::Display`] writes.
impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let (name, mode) = text.rsplit_once('=').ok_or(InvalidScope)?;
        let (read, write) = match mode {
            "rw" => (true, true),
            "r" => (true, false),
            "w" => (false, true),
            "" => (false, false),
            _ => return Err(InvalidScope),
        };
        Ok(Self { name: name.to_owned(), read, write })
    }
}
