//! The repositories, tools and workflows that have a name in labels or rows: a bounded number of each.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use crate::{
    labels::Text,
    tools::{OTHER, tool},
};

/// Most tools of a repository with a name; all others are `_other`.
const MAX_TOOLS: usize = 32;
/// Longest name of a repository in a label, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// The repositories with a name, in the order in which they came.
#[derive(Debug)]
pub struct Repositories {
    limit: usize,
    known: RwLock<HashMap<Box<str>, Arc<Repository>>>,
    other: Arc<Repository>,
    /// Of what is not a repository's.
    tools: Tools,
}

/// A repository, as labels name it.
#[derive(Debug)]
pub struct Repository {
    pub(crate) label: Text,
    tools: Tools,
    workflows: Tools,
}

/// The tools with a name.
#[derive(Debug, Default)]
struct Tools(RwLock<HashMap<Box<str>, Text>>);

impl Repositories {
    /// For at most so many with a name.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            known: RwLock::default(),
            other: Arc::new(Repository::new(OTHER)),
            tools: Tools::default(),
        }
    }

    /// Returns the repository of this name: `owner/name`, or its id where the name is not known. A
    /// tenant's is `@tenant/owner/name`.
    #[must_use]
    pub fn of(&self, tenant: Option<&str>, name: &str) -> Arc<Repository> {
        match tenant {
            None => self.named(name),
            Some(tenant) => self.named(&format!("@{tenant}/{name}")),
        }
    }

    fn named(&self, name: &str) -> Arc<Repository> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return self.other.clone();
        }
        if let Some(known) = self.known.read().get(name) {
            return known.clone();
        }
        let mut known = self.known.write();
        if known.len() >= self.limit && !known.contains_key(name) {
            return self.other.clone();
        }
        known.entry(name.into()).or_insert_with(|| Arc::new(Repository::new(name))).clone()
    }

    /// Returns the tool of a key, whatever repository it is in.
    pub(crate) fn tool(&self, key: &str) -> Text {
        self.tools.of(key)
    }
}

impl Repository {
    fn new(label: &str) -> Self {
        Self { label: Text(label.into()), tools: Tools::default(), workflows: Tools::default() }
    }

    /// Its name; `_other` if too many came before it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.label.0
    }

    /// Returns the tool of a key; `_other` if too many came before it.
    #[must_use]
    pub fn tool_name(&self, key: &str) -> Arc<str> {
        self.tools.of(key).0
    }

    /// Returns the name of a workflow; `_other` if too many came before it.
    #[must_use]
    pub fn workflow(&self, name: &str) -> Arc<str> {
        self.workflows.named(name, str::to_owned).0
    }

    /// Returns the tool of a key.
    pub(crate) fn tool(&self, key: &str) -> Text {
        self.tools.of(key)
    }
}

impl Tools {
    fn of(&self, key: &str) -> Text {
        self.named(tool(key), str::to_ascii_lowercase)
    }

    fn named(&self, name: &str, label: fn(&str) -> String) -> Text {
        if let Some(known) = self.0.read().get(name) {
            return known.clone();
        }
        let mut known = self.0.write();
        // One place is for what has none.
        let name = if known.len() + 1 < MAX_TOOLS || name == OTHER { name } else { OTHER };
        known.entry(name.into()).or_insert_with(|| Text(label(name).into())).clone()
    }
}
