//! What a lookup asks for.

/// How the key of a [`Probe`] is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchKind {
    /// The entry with exactly this key.
    Exact,
    /// The newest entry whose key starts with it.
    Prefix,
}

/// One key to try in one scope. A lookup tries its probes in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The scope to search.
    pub scope: String,
    /// The key, or a prefix of it.
    pub key: String,
    /// Whether `key` is a whole key or a prefix.
    pub kind: MatchKind,
}
