//! Facts: what a verified token says about the job that saves something.
//!
//! Also compiled into the component for `wasmtime serve`.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};

/// Most facts of one token.
pub const MAX_FACTS: usize = 32;
/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest value, in bytes: a git ref may have that many.
pub const MAX_VALUE_BYTES: usize = 1024;
/// Most bytes of all names and values together.
pub const MAX_TOTAL_BYTES: usize = 4096;

/// The facts that are read from tokens, the most useful first: of those that do not fit
/// [`MAX_TOTAL_BYTES`] together, the later ones are left out. No other claim is ever stored.
pub const CLAIMS: [&str; MAX_FACTS] = [
    "repository",
    "run_id",
    "run_number",
    "run_attempt",
    "job_id",
    "task_id",
    "sha",
    "ref",
    "event_name",
    "actor",
    "workflow",
    "workflow_ref",
    "repository_owner",
    "repository_owner_id",
    "trust_tier",
    "runner_id",
    "head_ref",
    "base_ref",
    "actor_id",
    "ref_type",
    "ref_protected",
    "repository_visibility",
    "environment",
    "job_workflow_ref",
    "runner_environment",
    "runner_type",
    "run_type",
    "owner_id",
    "plan_id",
    "orch_id",
    "workflow_sha",
    "oidc_sub",
];

/// The beginning of the names of labels: what the operator's rules say of an upload.
pub const LABEL: &str = "label.";
/// After how many seconds an entry is deleted, by the operator's rules.
pub const LIFETIME: &str = "terms.lifetime_s";

/// Returns whether a fact is one that the operator's rules add. No token has such a one.
#[must_use]
pub fn is_of_rules(name: &str) -> bool {
    name.starts_with(LABEL) || name == LIFETIME
}

/// Names with values, each name once, within the bounds of this module. Names are ASCII letters,
/// digits, `_`, `-` and `.`; values are not empty and have no control characters.
///
/// What the operator's rules add ([`is_of_rules`]) has the same bounds again, apart from the token's.
///
/// One allocation: a line `name=value` for each fact, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts(String);

/// No facts.
pub static NO_FACTS: Facts = Facts(String::new());

/// Why a fact is not one, or does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFact {
    /// There are too many.
    #[error("more than {MAX_FACTS} facts")]
    TooMany,
    /// All of them are too long.
    #[error("facts of more than {MAX_TOTAL_BYTES} bytes")]
    TooLong,
    /// The name is not one, or is there already.
    #[error("a fact's name must be 1 to {MAX_NAME_BYTES} letters, digits, `_`, `-` or `.`, and occur once")]
    Name,
    /// The value is not one.
    #[error("a fact's value must have 1 to {MAX_VALUE_BYTES} bytes and no control characters")]
    Value,
}

impl Facts {
    /// Adds a fact.
    ///
    /// # Errors
    /// [`InvalidFact`], and nothing is changed.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), InvalidFact> {
        let mut alike = Sum::default();
        // Where it goes.
        let mut before = 0;
        for (other, known) in self.iter() {
            if other == name {
                return Err(InvalidFact::Name);
            }
            if other < name {
                before += other.len() + known.len() + 2;
            }
            if is_of_rules(other) == is_of_rules(name) {
                alike.add(other, known);
            }
        }
        alike.check_with(name, value)?;
        // Most come in the order of their names.
        let behind = self.0.split_off(before);
        self.0.reserve(name.len() + value.len() + 2 + behind.len());
        for part in [name, "=", value, "\n", &behind] {
            self.0.push_str(part);
        }
        Ok(())
    }

    /// Returns the value of a fact.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once('='))
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the memory that they take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Gives back memory that is not used.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }
}

impl<N: AsRef<str>, V: AsRef<str>> TryFrom<&[(N, V)]> for Facts {
    type Error = InvalidFact;

    fn try_from(pairs: &[(N, V)]) -> Result<Self, InvalidFact> {
        let mut facts = Self::default();
        pairs.iter().try_for_each(|(name, value)| facts.insert(name.as_ref(), value.as_ref()))?;
        Ok(facts)
    }
}

/// A JSON object of texts.
impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// How many facts there are, and how many bytes they have.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: usize,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, name: &str, value: &str) {
        self.count += 1;
        self.bytes += name.len() + value.len();
    }

    /// Checks a fact that is not among these, and whether it fits beside them.
    fn check_with(self, name: &str, value: &str) -> Result<(), InvalidFact> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_of_name) {
            return Err(InvalidFact::Name);
        }
        if !(1..=MAX_VALUE_BYTES).contains(&value.len()) || value.chars().any(char::is_control) {
            return Err(InvalidFact::Value);
        }
        if self.count == MAX_FACTS {
            return Err(InvalidFact::TooMany);
        }
        if self.bytes + name.len() + value.len() > MAX_TOTAL_BYTES {
            return Err(InvalidFact::TooLong);
        }
        Ok(())
    }
}

/// A text that is not copied where it is as it is written.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// In one pass: each page of entries that is read has a row of facts for each.
impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfMap)
    }
}

struct OfMap;

impl<'de> Visitor<'de> for OfMap {
    type Value = Facts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of facts")
    }

    /// Of a name that occurs twice, the last value counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Facts, A::Error> {
        let mut pairs: Vec<(Text<'de>, Text<'de>)> =
            Vec::with_capacity(map.size_hint().unwrap_or(0).min(MAX_FACTS));
        let mut is_ordered = true;
        while let Some(pair) = map.next_entry::<Text<'de>, Text<'de>>()? {
            is_ordered &= pairs.last().is_none_or(|(last, _)| last.0 < pair.0.0);
            pairs.push(pair);
        }
        if !is_ordered {
            // Stable: equal names keep their order.
            pairs.sort_by(|(one, _), (other, _)| one.0.cmp(&other.0));
            pairs.dedup_by(|later, earlier| {
                let is_same = later.0.0 == earlier.0.0;
                if is_same {
                    std::mem::swap(later, earlier);
                }
                is_same
            });
        }
        of_ordered(&pairs).map_err(A::Error::custom)
    }
}

/// Makes facts of pairs that are in the order of their names, each name once.
fn of_ordered(pairs: &[(Text<'_>, Text<'_>)]) -> Result<Facts, InvalidFact> {
    let mut text =
        String::with_capacity(pairs.iter().map(|(name, value)| name.0.len() + value.0.len() + 2).sum());
    let mut sums = [Sum::default(); 2];
    for (Text(name), Text(value)) in pairs {
        let sum = &mut sums[usize::from(is_of_rules(name))];
        sum.check_with(name, value)?;
        sum.add(name, value);
        for part in [name, "=", value, "\n"] {
            text.push_str(part);
        }
    }
    Ok(Facts(text))
}

#[cfg(test)]
#[path = "facts/tests.rs"]
mod tests;
