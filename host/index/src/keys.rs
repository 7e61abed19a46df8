//! How keys are compared.
//!
//! GitHub's service matches keys without regard to case (protocol reference 5.1, rule 6) and
//! returns a key as it was saved. Only ASCII letters are folded; all other characters are compared
//! by their bytes, in every database. Only keys are folded: repository, scope and version are
//! compared as they are.
//!
//! A row stores the folded key if it differs from the key itself. So a database is made for one
//! rule, and stores its name. Opened with another rule, each driver rewrites the rows.

use std::borrow::Cow;

/// How keys are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyRule {
    /// ASCII letters match in any case, as in GitHub's service.
    #[default]
    AnyCase,
    /// Byte for byte.
    Bytes,
}

/// The stored rule while the rows are being rewritten.
pub(super) const CHANGING: &str = "changing";

/// The name of the stored rule in the table `properties`.
pub(super) const RULE_PROPERTY: &str = "keys";

/// Rows rewritten per transaction.
pub(super) const PAGE_ROWS: usize = 1_000;

impl KeyRule {
    /// Returns the form in which a key, or a prefix of one, is compared.
    pub(super) fn compared(self, key: &str) -> Cow<'_, str> {
        self.folded(key).map_or(Cow::Borrowed(key), Cow::Owned)
    }

    /// Returns the form in which a key is compared, or `None` if that is the key itself.
    pub(super) fn folded(self, key: &str) -> Option<String> {
        let changes = self == Self::AnyCase && key.bytes().any(|byte| byte.is_ascii_uppercase());
        changes.then(|| key.to_ascii_lowercase())
    }

    /// The name that a database stores. Changing it needs a migration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AnyCase => "any-case",
            Self::Bytes => "bytes",
        }
    }
}

/// What was changed in a database that was made for another rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RefoldSummary {
    /// Rows whose folded key changed.
    pub(super) rows: u64,
    /// Entries deleted because a newer one differs from them only by case.
    pub(super) entries: u64,
    /// Uploads deleted because of a newer one, or because of an entry in the slot.
    pub(super) uploads: u64,
}

impl RefoldSummary {
    /// Logs it, unless nothing was changed.
    pub(super) fn log(self, rule: KeyRule) {
        let Self { rows, entries, uploads } = self;
        let rule = rule.name();
        if self == Self::default() {
            // A new database, or one without keys that differ.
        } else if entries == 0 && uploads == 0 {
            tracing::info!(rule, rows, "index rewritten for this rule of comparing keys");
        } else {
            tracing::warn!(
                rule,
                rows,
                entries,
                uploads,
                "index rewritten for this rule of comparing keys; of keys that differ only by case, the newest was kept"
            );
        }
    }
}

#[cfg(test)]
mod tests;
