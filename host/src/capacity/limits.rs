//! The limits of a tenant, as configured.

use std::{collections::HashMap, time::Duration};

use larder_index::{Caps, Index, IndexError};

use crate::config::Settings;

/// How much a tenant may have stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    server: Option<u64>,
    tenant: Option<u64>,
    repository: Option<u64>,
    /// By id or by name.
    repositories: HashMap<String, Option<u64>>,
    scope_percent: Option<u64>,
    evict_at_percent: u64,
    evict_to_percent: u64,
    wait: Duration,
    may_evict: bool,
    is_apart: bool,
}

impl Limits {
    /// The limits of a tenant that may have `max_bytes` (0: any). `is_apart`: it has a storage of its
    /// own, so that the server's limit does not count.
    pub(crate) fn new(settings: &Settings, max_bytes: u64, is_apart: bool) -> Self {
        let capacity = &settings.capacity;
        let some = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        let limit =
            |limit: &crate::config::RepositoryLimit| (limit.repository.clone(), some(limit.max_bytes));
        Self {
            server: some(capacity.max_bytes).filter(|_| !is_apart),
            tenant: some(max_bytes),
            repository: some(capacity.repository_max_bytes),
            repositories: capacity.repositories.iter().map(limit).collect(),
            scope_percent: some(capacity.scope_percent).filter(|percent| *percent < 100),
            evict_at_percent: capacity.evict_at_percent,
            evict_to_percent: capacity.evict_to_percent,
            wait: Duration::from_millis(capacity.wait_ms),
            may_evict: !settings.retention.disable,
            is_apart,
        }
    }

    /// Returns whether there is any limit.
    pub(crate) fn is_any(&self) -> bool {
        self.server.is_some()
            || self.tenant.is_some()
            || self.repository.is_some()
            || self.repositories.values().any(Option::is_some)
    }

    /// Most bytes of the tenant.
    pub(crate) fn most(&self) -> Option<u64> {
        self.server.into_iter().chain(self.tenant).min()
    }

    /// Most bytes of the repository with this id and name.
    pub(crate) fn most_of(&self, id: &str, name: &str) -> Option<u64> {
        let by_name = || self.repositories.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let own = self.repositories.get(id).or_else(|| by_name().map(|(_, cap)| cap));
        own.copied().unwrap_or(self.repository).into_iter().chain(self.most()).min()
    }

    /// How long a save may wait for room.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// The limit of the server's storage; `None` also for a tenant that has a storage of its own.
    pub(super) fn server(&self) -> Option<u64> {
        self.server
    }

    /// Whether the tenant has a storage of its own.
    pub(super) fn is_apart(&self) -> bool {
        self.is_apart
    }

    /// Whether anything may be deleted to make room.
    pub(super) fn may_evict(&self) -> bool {
        self.may_evict
    }

    /// Returns the caps for a save of this repository. `disk`: what the disk allows the server.
    ///
    /// # Errors
    /// When the index fails, which has the names of repositories.
    pub(super) async fn caps(
        &self,
        index: &dyn Index,
        repository: &str,
        disk: Option<u64>,
    ) -> Result<Caps, IndexError> {
        let repository = self.of_repository(index, repository).await?;
        let share = |cap: u64| Some(percent_of(cap, self.scope_percent?));
        Ok(Caps {
            scope: repository.and_then(share),
            repository,
            tenant: self.tenant,
            server: self.server.into_iter().chain(disk).min(),
        })
    }

    async fn of_repository(&self, index: &dyn Index, id: &str) -> Result<Option<u64>, IndexError> {
        if self.repositories.is_empty() {
            return Ok(self.repository);
        }
        if let Some(cap) = self.repositories.get(id) {
            return Ok(*cap);
        }
        if !self.repositories.keys().any(|key| key.contains('/')) {
            return Ok(self.repository);
        }
        let name = index.repository_name(id).await?;
        let named = |name: String| {
            self.repositories.iter().find(|(key, _)| key.eq_ignore_ascii_case(&name)).map(|(_, cap)| *cap)
        };
        Ok(name.and_then(named).unwrap_or(self.repository))
    }

    /// Returns how many bytes of an area with this cap are to be deleted ahead of need, if any.
    pub(super) fn surplus(&self, cap: u64, used: u64) -> Option<u64> {
        let (high, low) = (percent_of(cap, self.evict_at_percent), percent_of(cap, self.evict_to_percent));
        (used > high).then(|| used - low)
    }
}

fn percent_of(whole: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(percent) / 100).unwrap_or(whole)
}

#[cfg(test)]
mod tests;
