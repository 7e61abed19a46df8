//! Rules of the operator, and what holds where they fail.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::optional;

/// The section `[rules]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// A script in JavaScript, or a component of the world in `wit/rules/`; unset: there are no rules.
    #[serde(with = "optional")]
    pub file: Option<PathBuf>,
    /// Rules in the shadow: asked the same questions, off the path of any request, and only compared;
    /// unset: there are none.
    #[serde(with = "optional")]
    pub shadow: Option<PathBuf>,
    /// How many of each hundred questions those get.
    pub shadow_percent: u64,
    /// What holds where rules fail.
    pub on_failure: OnFailure,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self { file: None, shadow: None, shadow_percent: 100, on_failure: OnFailure::default() }
    }
}

impl RulesConfig {
    /// The same, as the rules take it.
    pub(crate) fn shadow_percent(&self) -> u8 {
        u8::try_from(self.shadow_percent).unwrap_or(100)
    }
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
