//! Names of tenants.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::Arc};

/// The tenant of a server that is not divided among several.
const DEFAULT: &str = "default";

/// The name of a tenant: 1 to 63 of `a-z`, `0-9` and `-`, neither beginning nor ending with `-`. So it
/// fits where a label of a host name does, and as the name of a directory.
///
/// Cloning it copies no text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(Arc<str>);

/// A text that is not the name of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the name of a tenant: 1 to 63 of the letters a to z, digits and hyphens, without a hyphen at \
     either end"
)]
pub struct InvalidTenantName {
    /// The text, or as much of it as is shown.
    text: String,
}

/// Most characters of an invalid name that its error shows.
const SHOWN_CHARS: usize = 80;

impl TenantName {
    /// Longest name in bytes.
    pub const MAX_BYTES: usize = 63;

    /// Parses a name.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidTenantName> {
        let form = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_valid = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(form)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTenantName { text: text.chars().take(SHOWN_CHARS).collect() })
        }
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the tenant of a server that is not divided among several.
    #[must_use]
    pub fn is_default(&self) -> bool {
        &*self.0 == DEFAULT
    }
}

impl Default for TenantName {
    /// The tenant of a server that is not divided among several: `default`.
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantName {
    type Err = InvalidTenantName;

    fn from_str(text: &str) -> Result<Self, InvalidTenantName> {
        Self::parse(text)
    }
}
