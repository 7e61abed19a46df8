//! The fields of a request, independent of protocol and encoding, and their limits.

use super::{Code, Error};
use crate::ports::{Claims, Slot};

/// The longest key, in characters (`@actions/cache` allows no more; others do not check).
const MAX_KEY_CHARS: usize = 512;
/// The longest version, in bytes. Opaque; usually 64 hexadecimal digits.
const MAX_VERSION_BYTES: usize = 512;
const BAD_VERSION: &str = "version: 1 to 512 bytes";
/// Most restore keys in one lookup. `@actions/cache` sends nine.
const MAX_RESTORE_KEYS: usize = 100;

/// The fields of a request message, not validated. Fields that a call lacks are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) restore_keys: Vec<String>,
    pub(crate) size_bytes: i64,
}

/// A validated message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidRequest {
    pub(crate) key: String,
    pub(crate) version: String,
    /// None of them empty.
    pub(crate) restore_keys: Vec<String>,
    pub(crate) size_bytes: u64,
    /// Only an entry with the very key is a match. No message of the cache service asks for that.
    pub(crate) is_exact: bool,
}

impl Message {
    /// Validates a message of protocol version 2. Drops empty restore keys, which would match
    /// anything.
    ///
    /// # Errors
    /// `invalid_argument` if a field exceeds its limits.
    pub(crate) fn validate(self) -> Result<ValidRequest, Error> {
        if self.version.is_empty() {
            return Err(invalid(BAD_VERSION));
        }
        self.validate_v1()
    }

    /// Validates a message of protocol version 1: as [`Self::validate`], but the version may be
    /// empty (actions/cache 1.2 sends none).
    pub(crate) fn validate_v1(mut self) -> Result<ValidRequest, Error> {
        self.restore_keys.retain(|key| !key.is_empty());
        if self.restore_keys.len() > MAX_RESTORE_KEYS {
            return Err(invalid("restore_keys: at most 100"));
        }
        if self.key.is_empty() {
            return Err(invalid("key: must not be empty"));
        }
        std::iter::once(&self.key).chain(&self.restore_keys).try_for_each(|key| check_key(key))?;
        check_version(&self.version)?;
        let size_bytes =
            u64::try_from(self.size_bytes).map_err(|_| invalid("size_bytes: must not be negative"))?;
        Ok(ValidRequest {
            key: self.key,
            version: self.version,
            restore_keys: self.restore_keys,
            size_bytes,
            is_exact: false,
        })
    }
}

impl ValidRequest {
    /// Returns the slot of the message, in this scope of the token's repository.
    pub(crate) fn slot(self, claims: &Claims, scope: &str) -> Slot {
        Slot {
            repository: claims.repository.clone(),
            scope: scope.to_owned(),
            version: self.version,
            key: self.key,
        }
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    // Bytes first: most keys need no count of characters.
    if key.len() > MAX_KEY_CHARS && key.chars().count() > MAX_KEY_CHARS {
        return Err(invalid("key: at most 512 characters"));
    }
    check_text(key)
}

fn check_version(version: &str) -> Result<(), Error> {
    if version.len() > MAX_VERSION_BYTES {
        return Err(invalid(BAD_VERSION));
    }
    check_text(version)
}

/// Rejects NUL, which some databases cannot store.
fn check_text(text: &str) -> Result<(), Error> {
    if text.contains('\0') { Err(invalid("key and version must not contain NUL")) } else { Ok(()) }
}

fn invalid(message: &'static str) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests;
