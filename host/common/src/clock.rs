//! The one clock. Everything that asks for the time of day asks here, so that tests can say what time it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells the time of day.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    set: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at what the returned number says: milliseconds since 1970.
    #[must_use]
    pub fn manual(now_ms: u64) -> (Self, Arc<AtomicU64>) {
        let set = Arc::new(AtomicU64::new(now_ms));
        (Self { set: Some(set.clone()) }, set)
    }

    /// Milliseconds since 1970.
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
