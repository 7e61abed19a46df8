//! The section `capacity`: how much may be stored, and when room is made.

use serde::{Deserialize, Serialize};

use super::{
    ConfigError, Settings, StorageDriver,
    check::{Check, MAX_MS},
    effective::Provenances,
};

/// Most bytes of a limit: an exbibyte, which every database can count.
const MAX_BYTES: u64 = 1 << 60;
/// Longest wait of a save for room. Clients give up on a request after minutes.
const MAX_WAIT_MS: u64 = 60_000;

/// How much may be stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapacityConfig {
    /// Most bytes in the storage, of all tenants that have none of their own; 0: any.
    pub max_bytes: u64,
    /// Most of the disk that is used, by whatever is on it, in percent; 0: as `reserve_bytes` says.
    /// For a folder only.
    pub max_disk_percent: u64,
    /// Most bytes of one repository; 0: any.
    pub repository_max_bytes: u64,
    /// Repositories with another limit than that.
    pub repositories: Vec<RepositoryLimit>,
    /// Most of its repository's limit that one scope may have, in percent; 0: all of it.
    pub scope_percent: u64,
    /// Entries are deleted in the background when so much of a limit is used, in percent.
    pub evict_at_percent: u64,
    /// Until no more than this is used, in percent.
    pub evict_to_percent: u64,
    /// How long a save may wait until room is made for it.
    pub wait_ms: u64,
}

impl Default for CapacityConfig {
    fn default() -> Self {
        Self {
            max_bytes: 0,
            max_disk_percent: 0,
            repository_max_bytes: 0,
            repositories: Vec::new(),
            scope_percent: 0,
            evict_at_percent: 95,
            evict_to_percent: 90,
            // Shorter than what clients take for a dead connection (5 s of `@actions/cache`).
            wait_ms: 4_000,
        }
    }
}

/// The limit of one repository.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepositoryLimit {
    /// Its id as its entries have it, or its name like `owner/name`.
    pub repository: String,
    /// Most bytes; 0: any.
    pub max_bytes: u64,
}

impl Check<'_> {
    pub(super) fn capacity(&self, capacity: &CapacityConfig) -> Result<(), ConfigError> {
        let CapacityConfig { evict_at_percent: at, evict_to_percent: to, .. } = *capacity;
        let ranges = [
            ("capacity.max_bytes", capacity.max_bytes, 0, MAX_BYTES),
            ("capacity.max_disk_percent", capacity.max_disk_percent, 0, 100),
            ("capacity.repository_max_bytes", capacity.repository_max_bytes, 0, MAX_BYTES),
            ("capacity.scope_percent", capacity.scope_percent, 0, 100),
            ("capacity.evict_at_percent", at, 1, 100),
            ("capacity.evict_to_percent", to, 1, 100),
            ("capacity.wait_ms", capacity.wait_ms, 0, MAX_WAIT_MS.min(MAX_MS)),
        ];
        self.ranges(&ranges)?;
        self.that("capacity.evict_to_percent", to <= at, || {
            format!("is {to}; it must not be more than capacity.evict_at_percent, which is {at}")
        })?;
        let name = "capacity.repositories";
        for (index, limit) in capacity.repositories.iter().enumerate() {
            let text = &limit.repository;
            self.that(name, !text.is_empty() && limit.max_bytes <= MAX_BYTES, || {
                format!(
                    "has `{text}` with {} bytes; each needs an id or a name, and at most {MAX_BYTES} bytes",
                    limit.max_bytes
                )
            })?;
            let again = capacity.repositories[..index].iter().any(|other| other.repository == *text);
            self.that(name, !again, || format!("has `{text}` twice; keep one of them"))?;
        }
        Ok(())
    }
}

/// Says which settings are set and change nothing.
pub(super) fn without_effect(settings: &Settings, provenances: &Provenances) -> Vec<String> {
    let capacity = &settings.capacity;
    let mut warnings = Vec::new();
    if capacity.max_disk_percent > 0 && settings.storage.driver != StorageDriver::Filesystem {
        let name = provenances.name("capacity.max_disk_percent");
        warnings.push(format!("{name} is set but has no effect: the storage is a bucket, not a disk"));
    }
    let has_quota = capacity.repository_max_bytes > 0 || !capacity.repositories.is_empty();
    if capacity.scope_percent > 0 && !has_quota {
        let name = provenances.name("capacity.scope_percent");
        warnings.push(format!(
            "{name} is set but has no effect: repositories have no limit that it could be a part of"
        ));
    }
    warnings
}
