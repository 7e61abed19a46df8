//! How keys are compared.
//!
//! GitHub's service matches keys without regard to case (protocol reference 5.1, rule 6), and says the key as it was saved.
//! Only ASCII letters have a case here: every other character is compared by its bytes, alike in all databases and
//! languages. Only keys are folded: repository, scope and version are compared as they are.
//!
//! A row has what its key is compared as, where that is not the key itself. So a database is made for one rule, which it
//! remembers, and which each driver changes row by row when it is opened with the other one.

use std::borrow::Cow;

/// How keys are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyRule {
    /// Letters of ASCII in any case are the same, as for GitHub.
    #[default]
    AnyCase,
    /// Byte for byte.
    Bytes,
}

/// What a database remembers while its rows are rewritten from one rule to the other.
pub(super) const CHANGING: &str = "changing";

/// The name under which a database remembers its rule.
pub(super) const PROPERTY: &str = "keys";

/// Rows that are rewritten in one transaction.
pub(super) const PAGE: usize = 1_000;

impl KeyRule {
    /// Returns what a key, or the start of one, is compared as.
    pub(super) fn compared(self, key: &str) -> Cow<'_, str> {
        self.folded(key).map_or(Cow::Borrowed(key), Cow::Owned)
    }

    /// Returns what a key is compared as, where that is not the key itself.
    pub(super) fn folded(self, key: &str) -> Option<String> {
        let changes = self == Self::AnyCase && key.bytes().any(|byte| byte.is_ascii_uppercase());
        changes.then(|| key.to_ascii_lowercase())
    }

    /// The rule as a database remembers it. Stored: never to be changed without a migration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AnyCase => "any-case",
            Self::Bytes => "bytes",
        }
    }
}

/// What was done to a database that was made for another rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// Rows whose keys are compared as something else now.
    pub(super) rows: u64,
    /// Entries that went, because a newer one differs from them by case only.
    pub(super) entries: u64,
    /// Uploads that went, because of a newer one, or of an entry.
    pub(super) uploads: u64,
}

impl Rewritten {
    /// Says so in the log.
    pub(super) fn tell(self, rule: KeyRule) {
        let Self { rows, entries, uploads } = self;
        let rule = rule.name();
        if self == Self::default() {
            // A new database, or one to which it makes no difference.
        } else if entries == 0 && uploads == 0 {
            tracing::info!(rule, rows, "the index was brought to this rule of comparing keys");
        } else {
            tracing::warn!(
                rule,
                rows,
                entries,
                uploads,
                "the index was brought to this rule of comparing keys; of those that differ by case only the newest was kept"
            );
        }
    }
}

#[cfg(test)]
mod tests;
