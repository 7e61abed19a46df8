//! What a token allows in one scope: as rules see it, and as text.

use std::{fmt, str::FromStr};

use larder_rules::{InvalidScope, ScopeText};

use super::Scope;

impl From<Scope> for larder_rules::Scope {
    fn from(Scope { name, read, write }: Scope) -> Self {
        Self { name, read, write }
    }
}

impl From<larder_rules::Scope> for Scope {
    fn from(larder_rules::Scope { name, read, write }: larder_rules::Scope) -> Self {
        Self { name, read, write }
    }
}

/// The text of rules.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, read, write } = self;
        ScopeText { name, read: *read, write: *write }.fmt(f)
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        text.parse().map(larder_rules::Scope::into)
    }
}
