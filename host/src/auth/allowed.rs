//! The configured owners and repositories that may use the cache, compared with the claims of a
//! verified token.

use std::collections::HashSet;

use super::{
    TokenError,
    claims::{ClaimedIdentity, RawClaims},
    error::{SHOWN_CHARS, shown},
};
use crate::config;

/// The owners and repositories that may use the cache. If both lists are empty, every valid token
/// may.
///
/// An element is an id or a name, behind the prefix of the token's issuer. Names are compared
/// without regard to case, as GitHub compares them. A name that is a number never counts as a name,
/// because it could be another owner's id.
pub(super) struct Allowed {
    owners: List,
    repositories: List,
}

/// One list, in lower case.
struct List(HashSet<String>);

impl Allowed {
    pub(super) fn from_config(auth: &config::Auth) -> Self {
        Self { owners: List::of(&auth.owners), repositories: List::of(&auth.repositories) }
    }

    /// Checks that the token's repository may use the cache. `repository` is its id behind the
    /// prefix, or `auth.default_repository`.
    ///
    /// # Errors
    /// [`TokenError::NotAllowed`] when neither list has it; names the missing claim when that
    /// cannot be decided.
    pub(super) fn check(&self, claims: &RawClaims, prefix: &str, repository: &str) -> Result<(), TokenError> {
        if self.owners.0.is_empty() && self.repositories.0.is_empty() {
            return Ok(());
        }
        if self.repositories.0.contains(&repository.to_ascii_lowercase()) {
            return Ok(());
        }
        let identity = claims.identity();
        let is_allowed = self.owners.has_id(prefix, identity.owner_id.as_deref())
            || self.owners.has_name(prefix, identity.owner.as_deref())
            || self.repositories.has_name(prefix, identity.repository.as_deref());
        if is_allowed {
            Ok(())
        } else {
            Err(TokenError::NotAllowed(self.reason(&identity, prefix, repository)))
        }
    }

    fn reason(&self, identity: &ClaimedIdentity, prefix: &str, repository: &str) -> String {
        let unknown = [
            (self.owners.names_any(prefix) && identity.owner.is_none(), "the name of its owner"),
            (self.owners.has_ids(prefix) && identity.owner_id.is_none(), "the id of its owner"),
            (
                self.repositories.names_any(prefix) && identity.repository.is_none(),
                "the name of its repository",
            ),
        ];
        let unknown: Vec<&str> = unknown.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| *what).collect();
        let name = identity
            .repository
            .as_deref()
            .map(|name| format!(" ({})", shown(name, SHOWN_CHARS)))
            .unwrap_or_default();
        let who = format!(
            "repository {}{name} is not in auth.owners or auth.repositories",
            shown(repository, SHOWN_CHARS)
        );
        if unknown.is_empty() {
            return who;
        }
        format!("{who}; the token does not say {}, so use the id of the repository", unknown.join(" or "))
    }
}

impl List {
    fn of(list: &[String]) -> Self {
        Self(list.iter().map(|text| text.trim().to_ascii_lowercase()).collect())
    }

    fn has_id(&self, prefix: &str, id: Option<&str>) -> bool {
        id.is_some_and(|id| is_number(id) && self.has(prefix, id))
    }

    fn has_name(&self, prefix: &str, name: Option<&str>) -> bool {
        name.is_some_and(|name| !is_number(name) && self.has(prefix, name))
    }

    fn has(&self, prefix: &str, text: &str) -> bool {
        self.0.contains(&format!("{prefix}{text}").to_ascii_lowercase())
    }

    /// Returns whether a name of this issuer is listed.
    fn names_any(&self, prefix: &str) -> bool {
        self.of_issuer(prefix).any(|text| !is_number(text))
    }

    fn has_ids(&self, prefix: &str) -> bool {
        self.of_issuer(prefix).any(is_number)
    }

    fn of_issuer(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let prefix = prefix.to_ascii_lowercase();
        self.0.iter().filter_map(move |text| text.strip_prefix(&prefix)).filter(|text| !text.contains(':'))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
