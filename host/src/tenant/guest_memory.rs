//! The linear memory of the guests of all tenants.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What every instance may use, whatever the others do: more than the built-in policy needs for a
/// few requests at once.
pub(crate) const GUARANTEED_BYTES: usize = 4 << 20;

/// Memory that the instances share, on top of [`GUARANTEED_BYTES`] for each.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    most: usize,
    used: AtomicUsize,
}

/// What the linear memories of one instance have of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    of: Arc<GuestMemory>,
    bytes: usize,
}

impl GuestMemory {
    /// `most`: in bytes.
    #[must_use]
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0) })
    }

    /// Begins the account of an instance.
    #[must_use]
    pub(crate) fn share(self: &Arc<Self>) -> MemoryShare {
        MemoryShare { of: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: usize) -> bool {
        let enough = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.most);
        self.used.fetch_update(Relaxed, Relaxed, enough).is_ok()
    }
}

impl MemoryShare {
    /// Takes what an instance needs to grow from `current` to `desired` bytes. Returns whether
    /// there is so much.
    #[must_use]
    pub(crate) fn grow(&mut self, current: usize, desired: usize) -> bool {
        let shared = |bytes: usize| bytes.saturating_sub(GUARANTEED_BYTES);
        let more = shared(desired).saturating_sub(shared(current));
        let enough = more == 0 || self.of.take(more);
        if enough {
            self.bytes += more;
        }
        enough
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;
