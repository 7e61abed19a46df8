//! Keys of the management API, as a database keeps them.

use std::fmt;

use larder_common::TenantName;

/// Most access keys that count. Each request compares all of them.
pub const MAX_ACCESS_KEYS: usize = 1_000;

/// Longest name of an access key, in bytes.
pub const MAX_ACCESS_KEY_NAME_BYTES: usize = 64;

/// Bytes of [`AccessKey::digest`].
pub const ACCESS_KEY_DIGEST_BYTES: usize = 32;

/// What the holder of a key may do. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessRole {
    /// Look at everything.
    Read,
    /// Delete entries and uploads, and hold entries back.
    Delete,
    /// Everything.
    Admin,
}

impl AccessRole {
    /// Reads a role's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Delete, Self::Admin].into_iter().find(|role| role.name() == name)
    }

    /// Its name. As stored: changing one needs a migration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key of the management API. The key itself is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Unique in the database; at most [`MAX_ACCESS_KEY_NAME_BYTES`] long.
    pub name: String,
    /// What it permits.
    pub role: AccessRole,
    /// The tenant that it is for. `None`: all.
    pub tenant: Option<TenantName>,
    /// SHA-256 of the key, which is random.
    pub digest: [u8; ACCESS_KEY_DIGEST_BYTES],
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Without the digest.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, role, tenant, created_ms, .. } = self;
        f.debug_struct("AccessKey")
            .field("name", name)
            .field("role", role)
            .field("tenant", tenant)
            .field("created_ms", created_ms)
            .finish_non_exhaustive()
    }
}
