//! Times of objects and uploads that the sweep has corrected. The service keeps its own, so these are
//! in memory, and lost with the process.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::Listed;

/// Most names. Each takes some hundred bytes.
const MAX_NAMES: usize = 4096;

/// By name, in milliseconds since 1970.
#[derive(Default)]
pub(super) struct CorrectedTimes(Mutex<HashMap<String, u64>>);

impl CorrectedTimes {
    /// Remembers a time, unless there are too many.
    pub(super) fn set(&self, name: &str, modified_ms: u64) {
        let mut times = self.0.lock();
        if times.len() < MAX_NAMES || times.contains_key(name) {
            times.insert(name.to_owned(), modified_ms);
        }
    }

    /// Forgets what was removed.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }

    /// Replaces the times of the listed items.
    pub(super) fn apply<Name>(&self, items: &mut [Listed<Name>], text: impl Fn(&Name) -> &str) {
        let times = self.0.lock();
        if times.is_empty() {
            return;
        }
        for item in items {
            if let Some(corrected) = times.get(text(&item.name)) {
                item.modified_ms = *corrected;
            }
        }
    }
}

#[cfg(test)]
mod tests;
