//! Which version of the policy and of the rules is in force, for the API.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// What has versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionedKind {
    /// The policy.
    Policy,
    /// The rules in force.
    Rules,
    /// The rules in the shadow.
    Shadow,
}

impl fmt::Display for VersionedKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Policy => "policy",
            Self::Rules => "rules",
            Self::Shadow => "rules in the shadow",
        })
    }
}

/// A version.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct VersionInfo {
    /// SHA-256 of the content, in hexadecimal digits.
    pub digest: String,
    /// What the file was called; empty where that is not known.
    pub name: String,
    /// Where it came from: `built in`, `configured` (a file that the configuration names), `chosen` (by a command or
    /// this API) or `call` (of the program that the server is a part of); absent where that is not known.
    pub source: Option<String>,
    /// Since when it is in force, or last was, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Why it went back by itself, or was not taken.
    pub refused: Option<String>,
}

/// The versions of the policy or the rules.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct VersionsInfo {
    /// What is in force; absent: no rules.
    pub in_force: Option<VersionInfo>,
    /// What an operator has chosen; absent: the configuration decides.
    pub chosen: Option<VersionInfo>,
    /// What a rollback puts in force; absent: there is nothing to go back to.
    pub previous: Option<VersionInfo>,
    /// What was in force before, the latest first: a few.
    pub earlier: Vec<VersionInfo>,
}
