//! A trusted issuer and its keys: had by discovery, from a URL, or from a file; kept, and renewed when that is due.

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
/// Keys younger than this are used while new ones are on their way; older ones only if no new ones can be had.
const LENIENT_MS: u64 = 60 * 60 * 1000;
/// Keys older than this are not used: an issuer may have had to withdraw one.
const MAX_STALE_MS: u64 = 24 * 60 * 60 * 1000;
/// At least this much time is between two attempts, whatever tokens come.
const RETRY_MS: u64 = 5 * 1000;

/// A trusted issuer.
pub(super) struct Issuer {
    name: String,
    pub(super) repository_prefix: String,
    source: Source,
    fetch: Arc<dyn Fetch>,
    state: Mutex<State>,
}

enum Source {
    /// From a file, at start. Never renewed.
    Fixed(Arc<KeySet>),
    /// From a URL.
    KeySetUrl(String),
    /// From the URL that the issuer's own discovery document names.
    Discovery,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, u64)>,
    attempted_ms: Option<u64>,
    /// Why the last attempt failed.
    problem: Option<String>,
    /// The attempt that is under way; ends when its sender is dropped.
    flight: Option<watch::Receiver<()>>,
}

/// What is to be done before the keys at hand are used.
enum Due {
    Nothing,
    /// Ask for new ones, and don't wait.
    Renewal,
    /// Ask for new ones, and wait.
    Keys,
}

impl Issuer {
    pub(super) fn from_config(
        issuer: &config::Issuer,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, AuthSetupError> {
        let source = match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(path), _) => Source::Fixed(Arc::new(read_file(path)?)),
            (None, Some(url)) => Source::KeySetUrl(url.clone()),
            (None, None) => Source::Discovery,
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

    /// Returns the keys to check a signature with: the newest that are to be had, and that know the key if any do.
    ///
    /// # Errors
    /// [`TokenError::Unavailable`] when there are none, or none with that key while the issuer cannot be asked.
    pub(super) async fn keys(
        self: &Arc<Self>,
        algorithm: Algorithm,
        id: Option<&str>,
        now_ms: u64,
    ) -> Result<Arc<KeySet>, TokenError> {
        if let Source::Fixed(keys) = &self.source {
            return Ok(Arc::clone(keys));
        }
        match self.due(algorithm, id, now_ms) {
            Due::Nothing => {}
            Due::Renewal => drop(self.renew(now_ms)),
            Due::Keys => {
                if let Some(mut flight) = self.renew(now_ms) {
                    // Nothing is ever sent: an error means that the attempt is over.
                    let _ = flight.changed().await;
                }
            }
        }
        self.usable(algorithm, id, now_ms)
    }

    fn due(&self, algorithm: Algorithm, id: Option<&str>, now_ms: u64) -> Due {
        match &self.state.lock().keys {
            Some((keys, _)) if !keys.knows(algorithm, id) => Due::Keys,
            Some((_, at_ms)) => match now_ms.saturating_sub(*at_ms) {
                age if age < FRESH_MS => Due::Nothing,
                age if age < LENIENT_MS => Due::Renewal,
                _ => Due::Keys,
            },
            None => Due::Keys,
        }
    }

    fn usable(&self, algorithm: Algorithm, id: Option<&str>, now_ms: u64) -> Result<Arc<KeySet>, TokenError> {
        let state = self.state.lock();
        let problem =
            || TokenError::Unavailable(state.problem.clone().unwrap_or_else(|| "no answer yet".to_owned()));
        match &state.keys {
            Some((_, at_ms)) if now_ms.saturating_sub(*at_ms) >= MAX_STALE_MS => Err(problem()),
            // The key may be a new one, which cannot be known while the issuer does not answer.
            Some((keys, _)) if state.problem.is_some() && !keys.knows(algorithm, id) => Err(problem()),
            Some((keys, _)) => Ok(Arc::clone(keys)),
            None => Err(problem()),
        }
    }

    /// Joins the attempt that is under way, or starts one if the last is long enough ago.
    ///
    /// It runs in a task of its own, so that a client that goes away does not break it off for those who wait with it.
    fn renew(self: &Arc<Self>, now_ms: u64) -> Option<watch::Receiver<()>> {
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
        let attempt = Attempt { issuer: Arc::clone(self), _done: done };
        tokio::spawn(async move {
            let outcome = attempt.issuer.fetch_keys().await;
            attempt.issuer.settle(outcome, now_ms);
            drop(attempt);
        });
        Some(flight)
    }

    fn settle(&self, outcome: Result<KeySet, String>, now_ms: u64) {
        let mut state = self.state.lock();
        match outcome {
            Ok(keys) => {
                state.keys = Some((Arc::new(keys), now_ms));
                state.problem = None;
            }
            Err(problem) => {
                tracing::warn!(issuer = %self.name, %problem, "cannot fetch the issuer's signing keys");
                state.problem = Some(problem);
            }
        }
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let url = match &self.source {
            Source::Fixed(_) => return Err("keys from a file are not renewed".to_owned()),
            Source::KeySetUrl(url) => url.clone(),
            Source::Discovery => self.discover().await?,
        };
        let json = self.fetch.get(&url).await.map_err(|e| format!("{url}: {e}"))?;
        KeySet::parse(&json).map_err(|e| format!("{url}: {e}"))
    }

    /// Returns where the issuer's discovery document says that its keys are (OpenID Connect Discovery 1.0, section 4).
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

/// An attempt under way. Dropped when it is over, also when its runtime stops in the middle: the next caller starts another.
struct Attempt {
    issuer: Arc<Issuer>,
    /// Dropped after the state is cleared: whoever waits then sees the outcome.
    _done: watch::Sender<()>,
}

impl Drop for Attempt {
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
