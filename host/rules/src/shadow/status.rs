//! What a shadow has to show.

use serde::{Deserialize, Serialize};

use crate::{asker::Status, types::Interface};

/// What the rules in the shadow answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowStatus {
    /// The rules, and what has become of their questions.
    #[serde(flatten)]
    pub rules: Status,
    /// Since when is counted, in milliseconds since 1970: since these rules, or those in force, were
    /// exchanged.
    pub since_ms: u64,
    /// Of each hundred questions so many are offered.
    pub percent: u8,
    /// Questions that were not of the sample.
    pub left_out: u64,
    /// Questions that were handed over, or would have been. Those that are neither answered nor dropped
    /// wait.
    pub offered: u64,
    /// Questions that were asked, whatever came of it.
    pub answered: u64,
    /// Questions that were not asked, because too many waited.
    pub dropped: u64,
    /// Decisions that differ, all kinds together. A question about a page has a decision for each entry.
    pub differ: u64,
    /// The same by kind, the most frequent first.
    pub differences: Vec<Difference>,
    /// Some of them, the latest first: up to 10 of a kind, and 100 in all.
    pub examples: Vec<Example>,
}

/// How often a decision was another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What was asked.
    pub interface: Interface,
    /// The decision that held, in a word: `default`, `deny`, `failed` …
    pub active: String,
    /// That of the shadow.
    pub shadow: String,
    /// How often.
    pub count: u64,
}

/// A question that was answered otherwise. Names alone: no tokens, and no facts of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What was asked.
    pub interface: Interface,
    /// The decision that held.
    pub active: String,
    /// That of the shadow.
    pub shadow: String,
    /// What the shadow says about it: a reason, or the name of a rule.
    pub text: Option<String>,
    /// The repository, as in tokens.
    pub repository: String,
    /// The scope of the entry, or the scopes of the token: the first of them, up to 8.
    pub scopes: Vec<String>,
    /// The key, where it is about an entry.
    pub key: Option<String>,
    /// Its version.
    pub version: Option<String>,
}
