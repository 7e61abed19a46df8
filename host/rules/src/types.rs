//! Questions and answers: the types of `wit/rules/rules.wit`, which explains them and states their
//! bounds. In text (JSON, TOML) their names are those of the world.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

/// The largest number of the world. QuickJS takes a larger u32 for a negative number.
pub const MAX_NUMBER: u32 = u32::MAX >> 1;

/// Returns a number as rules see it: at most [`MAX_NUMBER`].
#[must_use]
pub fn number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(MAX_NUMBER).min(MAX_NUMBER)
}

/// Names and values, in the order of the names, each name once.
pub type Pairs = Vec<(String, String)>;

/// An interface of the world: a group of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// What a token may do.
    Access,
    /// Whether a lookup takes an entry.
    Restore,
    /// Whether an entry is saved.
    Save,
    /// What is deleted.
    Retention,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Access, Self::Restore, Self::Save, Self::Retention];

    /// Its name in the world.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::Retention => "retention",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a token allows in one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Usually a git ref.
    pub name: String,
    /// Whether entries may be looked up.
    #[serde(default)]
    pub read: bool,
    /// Whether entries may be saved.
    #[serde(default)]
    pub write: bool,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(default, deny_unknown_fields)]
pub struct Caller {
    /// Whose entries these are.
    pub repository: String,
    /// In the token's order.
    pub scopes: Vec<Scope>,
    /// The facts of the token.
    pub claims: Pairs,
    /// The first product of the user agent; empty in [`admit`](crate::Session::admit).
    pub client: String,
}

/// How far who saved an entry is trusted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Trust {
    /// Outsiders may have had a part in it.
    #[component(name = "low")]
    Low,
    /// Outsiders had no part in it.
    #[default]
    #[component(name = "full")]
    Full,
}

/// A finished cache entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Whose it is.
    pub repository: String,
    /// In which scope it was saved.
    pub scope: String,
    /// Its version.
    pub version: String,
    /// Its key.
    pub key: String,
    /// Its size, rounded up.
    #[component(name = "size-kib")]
    pub size_kib: u32,
    /// Seconds since it was saved.
    #[component(name = "age-s")]
    pub age_s: u32,
    /// Seconds since it was last used, or saved.
    #[component(name = "idle-s")]
    pub idle_s: u32,
    /// How often it was used, if that was counted.
    pub uses: Option<u32>,
    /// How far its saver was trusted.
    pub trust: Trust,
    /// Facts and labels of its saver.
    pub provenance: Pairs,
}

/// The answer of `admit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// As the token says.
    #[component(name = "default")]
    Default,
    /// These of its scopes, with at most its permissions.
    #[component(name = "scopes")]
    Scopes(Vec<Scope>),
    /// Nothing, with the reason.
    #[component(name = "deny")]
    Deny(String),
}

/// The answer of `judge-hit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Hit {
    /// The lookup takes it.
    #[component(name = "accept")]
    Accept,
    /// Counts as absent, with the reason.
    #[component(name = "skip")]
    Skip(String),
}

/// What is to be saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Save {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: String,
    /// Its size, rounded up; `None` where it is not known yet.
    pub size_kib: Option<u32>,
}

/// On what terms an entry is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Terms {
    /// After how many seconds it is deleted.
    #[component(name = "lifetime-s")]
    pub lifetime_s: Option<u32>,
    /// Kept with the entry.
    pub labels: Pairs,
}

/// The answer of `judge-save`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum SaveVerdict {
    /// The built-in decision.
    #[component(name = "default")]
    Default,
    /// Yes, on these terms.
    #[component(name = "accept")]
    Accept(Terms),
    /// No, and the client is told why.
    #[component(name = "refuse")]
    Refuse(String),
    /// No, and the client is told that the key exists.
    #[component(name = "refuse-quietly")]
    RefuseQuietly(String),
}

/// An entry, and its place in its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// The entry.
    pub entry: Entry,
    /// How many newer ones there are in its group, if it is in one that was counted.
    pub place: Option<u32>,
}

/// One of the answers of `judge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionVerdict {
    /// The built-in decision.
    #[component(name = "default")]
    Default,
    /// Stays.
    #[component(name = "keep")]
    Keep,
    /// Is deleted, by the rule of this name.
    #[component(name = "remove")]
    Remove(String),
}
