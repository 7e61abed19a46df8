//! Whether the server is live and ready.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

/// How long ago database and storage may have answered at most, so that the server is ready. Three
/// times the time between two probes.
const LATELY: Duration = Duration::from_secs(30);

/// What a server knows of its health. Shared by all that learn of it.
#[derive(Debug, Default)]
pub struct Health {
    database: Arc<Answered>,
    storage: Arc<Answered>,
    is_draining: AtomicBool,
}

/// When something last answered.
#[derive(Debug)]
pub(crate) struct Answered {
    since: Instant,
    /// Milliseconds after `since`, and one; 0: never.
    at_ms: AtomicU64,
}

impl Default for Answered {
    fn default() -> Self {
        Self { since: Instant::now(), at_ms: AtomicU64::new(0) }
    }
}

impl Answered {
    /// Records that it has answered.
    pub(crate) fn note(&self, now: Instant) {
        self.at_ms.store(self.at_ms(now), Relaxed);
    }

    fn within(&self, time: Duration) -> bool {
        let at_ms = self.at_ms.load(Relaxed);
        at_ms > 0 && u128::from(self.at_ms(Instant::now()).saturating_sub(at_ms)) <= time.as_millis()
    }

    fn at_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Whether requests should be sent to a server, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// `ready`, or `not ready`.
    pub status: &'static str,
    /// `ok`, or `silent` where the database has not answered for half a minute.
    pub database: &'static str,
    /// The same of the storage.
    pub storage: &'static str,
    /// Whether the server is stopping.
    pub draining: bool,
}

impl Readiness {
    /// Returns whether requests should be sent to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Texts and a switch always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Health {
    /// The answer of a server that is live, in JSON.
    pub const LIVE: &str = r#"{"status":"live"}"#;

    /// Records that the database has answered.
    pub fn database_answered(&self) {
        self.database.note(Instant::now());
    }

    /// Records that the storage has answered.
    pub fn storage_answered(&self) {
        self.storage.note(Instant::now());
    }

    /// Returns whether the database has answered within this time.
    #[must_use]
    pub fn has_database_answered(&self, within: Duration) -> bool {
        self.database.within(within)
    }

    /// Returns whether the storage has answered within this time.
    #[must_use]
    pub fn has_storage_answered(&self, within: Duration) -> bool {
        self.storage.within(within)
    }

    /// Records that the server stops: from now on it is not ready.
    pub fn set_draining(&self) {
        self.is_draining.store(true, Relaxed);
    }

    /// Returns whether requests should be sent to this server.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness_within(LATELY)
    }

    pub(crate) fn readiness_within(&self, lately: Duration) -> Readiness {
        let draining = self.is_draining.load(Relaxed);
        let (database, storage) = (self.database.within(lately), self.storage.within(lately));
        let word = |ok: bool| if ok { "ok" } else { "silent" };
        let status = if database && storage && !draining { "ready" } else { "not ready" };
        Readiness { status, database: word(database), storage: word(storage), draining }
    }

    pub(crate) fn database(&self) -> Arc<Answered> {
        self.database.clone()
    }

    pub(crate) fn storage(&self) -> Arc<Answered> {
        self.storage.clone()
    }
}
