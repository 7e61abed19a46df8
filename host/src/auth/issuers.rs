//! A trusted issuer and its keys: from a file, a URL, or by discovery; cached, and refreshed when
//! they are old.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::watch;

use super::{AuthSetupError, TokenError, jwks::KeySet};
use crate::{
    config::{self, allowed_url},
    net::Fetch,
};

/// Keys younger than this are used as they are.
const FRESH_MS: u64 = 15 * 60 * 1000;
/// Keys younger than this are used while they are refreshed; older ones only if the refresh fails.
const LENIENT_MS: u64 = 60 * 60 * 1000;
/// Keys older than this are not used: the issuer may have revoked one.
const MAX_STALE_MS: u64 = 24 * 60 * 60 * 1000;
/// Shortest time between two fetches, whatever tokens arrive.
const RETRY_MS: u64 = 5 * 1000;

/// A trusted issuer.
pub(super) struct Issuer {
    name: String,
    pub(super) repository_prefix: String,
    source: KeySource,
    fetch: Arc<dyn Fetch>,
    state: Mutex<FetchState>,
}

enum KeySource {
    /// From a file, read at start. Never refreshed.
    Fixed(Arc<KeySet>),
    /// From a URL.
    KeySetUrl(String),
    /// From the URL that the issuer's own discovery document names.
    Discovery,
}

#[derive(Default)]
struct FetchState {
    keys: Option<(Arc<KeySet>, u64)>,
    attempted_ms: Option<u64>,
    /// Why the last fetch failed.
    problem: Option<String>,
    /// How many fetches succeeded, and failed.
    fetches: (u64, u64),
    /// The fetch in flight; ends when its sender is dropped.
    flight: Option<watch::Receiver<()>>,
}

/// What has to be done before the cached keys are used.
enum Due {
    Nothing,
    /// Start a refresh, and do not wait for it.
    Refresh,
    /// Fetch new ones, and wait for them.
    Fetch,
}

/// The state of an issuer's keys.
pub(crate) struct KeyStatus {
    /// The issuer, as configured.
    pub(crate) issuer: String,
    /// Milliseconds since the keys were fetched; `None` if they never were.
    pub(crate) age_ms: Option<u64>,
    /// How many fetches succeeded, and failed.
    pub(crate) fetches: (u64, u64),
}

impl Issuer {
    pub(super) fn from_config(
        issuer: &config::IssuerConfig,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, AuthSetupError> {
        let source = match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(path), _) => KeySource::Fixed(Arc::new(read_file(path)?)),
            (None, Some(url)) => KeySource::KeySetUrl(url.clone()),
            (None, None) => KeySource::Discovery,
        };
        Ok(Self {
            name: trimmed(&issuer.issuer).to_owned(),
            repository_prefix: issuer.repository_prefix.clone(),
            source,
            fetch,
            state: Mutex::default(),
        })
    }

    /// Returns whether this is the issuer that a token names.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == trimmed(name)
    }

    /// Returns the keys to check a signature with: cached ones, or new ones if the cached ones are
    /// old or lack this key.
    ///
    /// # Errors
    /// [`TokenError::Unavailable`] when there are none, or none with that key while the issuer
    /// cannot be reached.
    pub(super) async fn keys(
        self: &Arc<Self>,
        algorithm: Algorithm,
        id: Option<&str>,
        now_ms: u64,
    ) -> Result<Arc<KeySet>, TokenError> {
        if let KeySource::Fixed(keys) = &self.source {
            return Ok(Arc::clone(keys));
        }
        match self.due(algorithm, id, now_ms) {
            Due::Nothing => {}
            Due::Refresh => drop(self.refresh(now_ms)),
            Due::Fetch => {
                if let Some(mut flight) = self.refresh(now_ms) {
                    // Nothing is ever sent: an error means that the fetch is over.
                    let _ = flight.changed().await;
                }
            }
        }
        self.usable(algorithm, id, now_ms)
    }

    /// Returns the state of its keys; `None` if they are never fetched.
    pub(super) fn key_status(&self, now_ms: u64) -> Option<KeyStatus> {
        if matches!(self.source, KeySource::Fixed(_)) {
            return None;
        }
        let state = self.state.lock();
        let age_ms = state.keys.as_ref().map(|(_, at_ms)| now_ms.saturating_sub(*at_ms));
        Some(KeyStatus { issuer: self.name.clone(), age_ms, fetches: state.fetches })
    }

    fn due(&self, algorithm: Algorithm, id: Option<&str>, now_ms: u64) -> Due {
        match &self.state.lock().keys {
            Some((keys, _)) if !keys.knows(algorithm, id) => Due::Fetch,
            Some((_, at_ms)) => match now_ms.saturating_sub(*at_ms) {
                age if age < FRESH_MS => Due::Nothing,
                age if age < LENIENT_MS => Due::Refresh,
                _ => Due::Fetch,
            },
            None => Due::Fetch,
        }
    }

    fn usable(&self, algorithm: Algorithm, id: Option<&str>, now_ms: u64) -> Result<Arc<KeySet>, TokenError> {
        let state = self.state.lock();
        let problem =
            || TokenError::Unavailable(state.problem.clone().unwrap_or_else(|| "not fetched yet".to_owned()));
        match &state.keys {
            Some((_, at_ms)) if now_ms.saturating_sub(*at_ms) >= MAX_STALE_MS => Err(problem()),
            // The key may be a new one; only the issuer knows.
            Some((keys, _)) if state.problem.is_some() && !keys.knows(algorithm, id) => Err(problem()),
            Some((keys, _)) => Ok(Arc::clone(keys)),
            None => Err(problem()),
        }
    }

    /// Joins the fetch in flight, or starts one if the last was at least [`RETRY_MS`] ago.
    ///
    /// It runs in a task of its own, so that a client that disconnects does not cancel it for the
    /// other waiters.
    fn refresh(self: &Arc<Self>, now_ms: u64) -> Option<watch::Receiver<()>> {
        let mut state = self.state.lock();
        if let Some(flight) = &state.flight {
            return Some(flight.clone());
        }
        if state.attempted_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < RETRY_MS) {
            return None;
        }
        let (done, flight) = watch::channel(());
        state.attempted_ms = Some(now_ms);
        state.flight = Some(flight.clone());
        drop(state);
        let fetch = FetchGuard { issuer: Arc::clone(self), _done: done };
        tokio::spawn(async move {
            let outcome = fetch.issuer.fetch_keys().await;
            fetch.issuer.settle(outcome, now_ms);
            drop(fetch);
        });
        Some(flight)
    }

    fn settle(&self, outcome: Result<KeySet, String>, now_ms: u64) {
        let mut state = self.state.lock();
        match outcome {
            Ok(keys) => {
                state.keys = Some((Arc::new(keys), now_ms));
                state.problem = None;
                state.fetches.0 += 1;
            }
            Err(problem) => {
                tracing::warn!(issuer = %self.name, %problem, "cannot fetch the issuer's signing keys");
                state.problem = Some(problem);
                state.fetches.1 += 1;
            }
        }
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let url = match &self.source {
            KeySource::Fixed(_) => return Err("keys from a file are not refreshed".to_owned()),
            KeySource::KeySetUrl(url) => url.clone(),
            KeySource::Discovery => self.discover().await?,
        };
        let json = self.fetch.get(&url).await.map_err(|e| format!("{url}: {e}"))?;
        KeySet::parse(&json).map_err(|e| format!("{url}: {e}"))
    }

    /// Returns the URL of the keys in the issuer's discovery document (OpenID Connect Discovery
    /// 1.0, section 4).
    async fn discover(&self) -> Result<String, String> {
        let url = format!("{}/.well-known/openid-configuration", self.name);
        let json = self.fetch.get(&url).await.map_err(|e| format!("{url}: {e}"))?;
        let document: Discovery =
            serde_json::from_slice(&json).map_err(|e| format!("{url}: not a discovery document: {e}"))?;
        if !self.is(&document.issuer) {
            return Err(format!("{url}: the document is of another issuer"));
        }
        if allowed_url(&document.jwks_uri).is_none() {
            return Err(format!("{url}: jwks_uri is not an https URL"));
        }
        Ok(document.jwks_uri)
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A fetch in flight. Dropped when it is over, also when its runtime stops in the middle: the next
/// caller starts another.
struct FetchGuard {
    issuer: Arc<Issuer>,
    /// Dropped after the state is cleared, so that waiters see the outcome.
    _done: watch::Sender<()>,
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        self.issuer.state.lock().flight = None;
    }
}

/// `https://host/path` and `https://host/path/` are one issuer.
fn trimmed(issuer: &str) -> &str {
    issuer.strip_suffix('/').unwrap_or(issuer)
}

fn read_file(path: &std::path::Path) -> Result<KeySet, AuthSetupError> {
    let json =
        std::fs::read(path).map_err(|source| AuthSetupError::KeyFile { path: path.to_owned(), source })?;
    KeySet::parse(&json).map_err(|problem| AuthSetupError::KeySet { path: path.to_owned(), problem })
}
