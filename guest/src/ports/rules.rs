//! Answers of the operator's rules (`rules`).

use super::Facts;

/// Questions that the rules answer (`types.asked-rules`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedRules {
    /// About each entry that a lookup would take.
    pub restore: bool,
    /// About what is saved.
    pub save: bool,
}

/// Whether a lookup takes an entry (`rules.hit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HitVerdict {
    /// It does.
    Accept,
    /// It counts as absent, for this reason.
    Skip(String),
    /// Its lifetime is over.
    Expired,
}

/// Whether an entry is saved (`rules.verdict`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveVerdict {
    /// It is, with these facts beside those of the token.
    Accept(Facts),
    /// It is not, for this reason.
    Refuse(String),
    /// It is not, for this reason, and the client is told that the key exists.
    RefuseQuietly(String),
}
