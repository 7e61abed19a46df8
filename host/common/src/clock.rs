//! The only source of wall-clock time, so that tests can set it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// A clock: the system's, or one that a test sets.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    set: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// Returns the system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Returns a clock, and the number that it returns, in milliseconds since 1970.
    #[must_use]
    pub fn manual(now_ms: u64) -> (Self, Arc<AtomicU64>) {
        let set = Arc::new(AtomicU64::new(now_ms));
        (Self { set: Some(set.clone()) }, set)
    }

    /// Returns the time in milliseconds since 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now_ms(&self) -> u64 {
        match &self.set {
            Some(now) => now.load(Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
