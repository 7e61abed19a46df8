//! How far the saver of an entry is trusted.

/// How the scopes of pull requests begin.
const PULL_REQUEST: &str = "refs/pull/";

/// How far the saver of an entry is trusted. The policy decides it when the slot is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trust {
    /// Strangers may have a hand in what it saves, such as in a pull request.
    Low,
    /// It may write what others restore.
    Full,
}

impl Trust {
    /// What counts for an entry or upload in this scope: the stored trust. Releases before 0006 did not
    /// store it; then the scope of a pull request is [`Self::Low`], and any other [`Self::Full`].
    #[must_use]
    pub fn of(stored: Option<Self>, scope: &str) -> Self {
        let guessed = if scope.starts_with(PULL_REQUEST) { Self::Low } else { Self::Full };
        stored.unwrap_or(guessed)
    }

    /// In one word, as the management API and traces have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Full => "full",
        }
    }

    /// As stored. Changing it needs a migration.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Low => 0,
            Self::Full => 1,
        }
    }

    /// Reads a stored number.
    pub(crate) fn from_number(number: i64) -> Self {
        if number == 0 { Self::Low } else { Self::Full }
    }
}
