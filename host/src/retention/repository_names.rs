//! Names of repositories, buffered in memory and persisted in batches.
//!
//! A token has the name of its repository; the index stores entries by the repository's id. So that
//! an operator may ask by name, the latest name of each repository is kept beside.

use std::collections::HashMap;

use larder_index::{Index, IndexError, RepositoryName};
use parking_lot::Mutex;

/// Buffers names until they are persisted.
#[derive(Default)]
pub(crate) struct RepositoryNames {
    known: Mutex<HashMap<String, Known>>,
}

/// A name that was recorded.
struct Known {
    name: String,
    named_ms: u64,
    is_persisted: bool,
}

/// Most names in memory. Beyond that persisted ones are dropped, then new ones.
const MAX_KNOWN: usize = 10_000;
/// Most names of a tenant in the index.
const MAX_STORED: usize = 100_000;
/// Most rows in one write.
const BATCH: usize = 1000;
/// A name that has not changed is persisted again after this time, in milliseconds, so that it is
/// not among the oldest.
const REFRESH_MS: u64 = 24 * 60 * 60 * 1000;

impl RepositoryNames {
    /// Records the name of a repository, `owner/name`, by a token that was issued at `issued_ms`.
    /// Does nothing if the token has none.
    pub(crate) fn record(&self, repository: &str, name: Option<&str>, issued_ms: u64) {
        let Some(name) = name else { return };
        let mut known = self.known.lock();
        match known.get(repository) {
            Some(known) if known.named_ms > issued_ms => return,
            Some(known) if known.name == name && known.named_ms.saturating_add(REFRESH_MS) > issued_ms => {
                return;
            }
            Some(_) => {}
            None if known.len() < MAX_KNOWN => {}
            None => known.retain(|_, known| !known.is_persisted),
        }
        if known.len() < MAX_KNOWN || known.contains_key(repository) {
            let named = Known { name: name.to_owned(), named_ms: issued_ms, is_persisted: false };
            known.insert(repository.to_owned(), named);
        }
    }

    /// Returns the name of a repository, if it is in memory.
    pub(crate) fn get(&self, repository: &str) -> Option<String> {
        self.known.lock().get(repository).map(|known| known.name.clone())
    }

    /// Persists what is buffered. What cannot be persisted stays buffered.
    ///
    /// # Errors
    /// When the index fails.
    pub(crate) async fn flush(&self, index: &dyn Index) -> Result<(), IndexError> {
        let names = self.buffered();
        for batch in names.chunks(BATCH) {
            index.name_repositories(batch, MAX_STORED).await?;
            let mut known = self.known.lock();
            for persisted in batch {
                let current = known.get_mut(&persisted.repository);
                if let Some(known) = current.filter(|known| known.named_ms == persisted.named_ms) {
                    known.is_persisted = true;
                }
            }
        }
        Ok(())
    }

    fn buffered(&self) -> Vec<RepositoryName> {
        let known = self.known.lock();
        let buffered = known.iter().filter(|(_, known)| !known.is_persisted);
        let named = |(repository, known): (&String, &Known)| RepositoryName {
            repository: repository.clone(),
            name: known.name.clone(),
            named_ms: known.named_ms,
        };
        buffered.map(named).collect()
    }
}

#[cfg(test)]
mod tests;
