//! Rules of the operator, and what holds where they fail.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::optional;

/// The section `[rules]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// A script in JavaScript, or a component of the world in `wit/rules/`; unset: there are no rules.
    #[serde(with = "optional")]
    pub file: Option<PathBuf>,
    /// What holds where rules fail.
    pub on_failure: OnFailure,
}

/// What holds where rules fail, for each of their interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnFailure {
    /// `refuse`: the token is refused.
    pub access: FailureChoice,
    /// `refuse`: the entry is not restored.
    pub restore: FailureChoice,
    /// `refuse`: nothing is saved.
    pub save: FailureChoice,
    /// What the policy decides without rules; there is nothing to refuse.
    pub retention: RetentionChoice,
}

/// What holds where rules fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureChoice {
    /// The refusal. Who can make rules fail cannot switch them off.
    #[default]
    Refuse,
    /// The decision without rules.
    Builtin,
}

/// What holds where rules of retention fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetentionChoice {
    /// The decision without rules.
    #[default]
    Builtin,
}
