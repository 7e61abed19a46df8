//! Exchanges, in a running server, what an operator provides: the policy, the rules.
//!
//! [`Source`] says which version is wanted: the one that was chosen with `larder … use`, else the
//! configured file's, else the built-in one. [`Exchange`] looks for changes, loads and tries a new
//! version, puts it in force, and goes back to the one before if the new one fails soon. Knows
//! neither policies nor rules: what differs is [`Exchanged`].

mod handle;
mod policy;
mod rules;
mod shadow;
mod source;

use std::{error::Error, sync::Arc, time::Duration};

use larder_common::{causes::chain, clock::Clock};
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{handle::Counts, source::Stamps};
pub(crate) use self::{
    handle::ExchangeHandle,
    policy::{PolicyExchange, PolicyLoader},
    rules::{NO_RULES, RulesExchange, is_no_rules},
    shadow::{RulesReport, ShadowExchange, run_reports},
    source::{Source, Unreadable, Wanted, known},
};
use crate::versions::{InForce, Version};

/// How often files are looked at.
const WATCH: Duration = Duration::from_secs(2);
/// How long a version is on trial after its exchange.
const TRIAL: Duration = Duration::from_secs(60);

/// Why a version is not in force.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// The version was not put in force; the one before still is.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It does not load, or does not start.
    #[error("the new version cannot be used")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// What is exchanged.
pub(crate) trait Exchanged {
    /// A version that is ready.
    type Loaded: Clone;

    /// What it is called in the log.
    const WHAT: &'static str;
    /// The command that chooses a version.
    const COMMAND: &'static str;

    /// Loads a version and tries it.
    async fn load(&self, content: Vec<u8>, name: &str) -> Result<Self::Loaded, Fault>;

    /// Puts a version in force. After an error some threads may have it.
    async fn put(&self, loaded: Self::Loaded) -> Result<(), Fault>;

    /// Waits until a version has failed so often that it has to go.
    async fn fails(&self, loaded: &Self::Loaded);

    /// What else decides whether a version can be in force. When that changes, what is wanted is tried again.
    fn beside(&self) -> bool {
        false
    }

    /// Whether this earlier version may take the place of one that fails.
    fn may_go_back_to(&self, _before: &Self::Loaded) -> bool {
        true
    }
}

/// What an [`Exchange`] is asked for.
pub(crate) enum Request {
    /// To look for changes now.
    Look,
    /// To put this in force.
    Put { content: Vec<u8>, reply: oneshot::Sender<Result<(), ExchangeError>> },
}

/// A version in force.
#[derive(Clone)]
pub(crate) struct Held<L> {
    pub(crate) record: InForce,
    pub(crate) loaded: L,
}

/// Follows what the operator wants.
pub(crate) struct Exchange<E: Exchanged> {
    pub(crate) exchanged: E,
    /// `None`: the embedding program provides it.
    pub(crate) source: Option<Source>,
    pub(crate) held: Held<E::Loaded>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// What is in force, for others.
    in_force: watch::Sender<InForce>,
    counts: Arc<Counts>,
    stamps: Stamps,
    /// What [`Exchanged::beside`] was at the last look.
    beside: bool,
    /// What was in force before, and until when it may be needed again.
    trial: Option<(Held<E::Loaded>, Instant)>,
}

/// What to do next.
enum Step {
    Look { is_asked: bool },
    Put(Vec<u8>, oneshot::Sender<Result<(), ExchangeError>>),
    GoBack,
    EndTrial,
    End,
}

impl<E: Exchanged> Exchange<E> {
    /// Returns it, and what others have of it.
    pub(crate) fn new(exchanged: E, source: Option<Source>, held: Held<E::Loaded>) -> (Self, ExchangeHandle) {
        let (sender, requests) = mpsc::unbounded_channel();
        let (in_force, record) = watch::channel(held.record.clone());
        let counts = Arc::new(Counts::default());
        let handle = ExchangeHandle::new(sender, record, counts.clone(), source.is_some());
        // Of nothing: what has changed since the start began is found by the first look.
        let (stamps, beside) = (Stamps::new(), exchanged.beside());
        (Self { exchanged, source, held, requests, in_force, counts, stamps, beside, trial: None }, handle)
    }

    /// Never returns while the server runs.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(WATCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.next(&mut ticks).await {
                Step::Look { is_asked } => self.look(is_asked).await,
                Step::Put(content, reply) => {
                    let record = self.record(Source::version(&content, known::BY_CALL), known::BY_CALL);
                    let put = self.take(content, record).await;
                    let _ = reply.send(put.map_err(ExchangeError::Unusable));
                }
                Step::GoBack => self.go_back("it failed again and again").await,
                Step::EndTrial => self.trial = None,
                Step::End => std::future::pending().await,
            }
        }
    }

    async fn next(&mut self, ticks: &mut tokio::time::Interval) -> Step {
        let Self { exchanged, held, requests, trial, source, .. } = self;
        let until = trial.as_ref().map(|(_, until)| *until);
        let trial_ends = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        select! {
            biased;
            () = exchanged.fails(&held.loaded), if until.is_some() => Step::GoBack,
            () = trial_ends => Step::EndTrial,
            request = requests.recv() => match request {
                Some(Request::Look) => Step::Look { is_asked: true },
                Some(Request::Put { content, reply }) => Step::Put(content, reply),
                None => Step::End,
            },
            _ = ticks.tick(), if source.is_some() => Step::Look { is_asked: false },
        }
    }

    /// Puts the wanted version in force, if it is another one.
    async fn look(&mut self, is_asked: bool) {
        let Some(source) = self.source.clone() else { return };
        let (what, command) = (E::WHAT, E::COMMAND);
        let (known, beside) = (self.stamps.clone(), self.exchanged.beside());
        let must_read = is_asked || std::mem::replace(&mut self.beside, beside) != beside;
        let read = tokio::task::spawn_blocking(move || {
            let stamps = source.stamps();
            (stamps != known || must_read).then(|| (source.wanted(), stamps))
        });
        let Ok(Some((wanted, stamps))) = read.await else { return };
        self.stamps = stamps;
        let Wanted { content, version, source } = match wanted {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::error!(error = chain(&error), "the {what} cannot be read; nothing changes");
                return;
            }
        };
        if version.digest == self.held.record.version.digest {
            if source != self.held.record.source {
                self.held.record = self.record(version, &source);
                self.remember();
            }
            return;
        }
        if let Some(reason) = self.source.as_ref().and_then(|known| known.versions.rejection(&version)) {
            tracing::warn!(
                version = version.short(),
                reason,
                "this version of the {what} went back and is not tried again; `larder {command}` tries it again"
            );
            return;
        }
        let record = self.record(version.clone(), &source);
        if let Err(error) = self.take(content, record).await {
            tracing::error!(
                version = version.short(), %source, error = chain(&*error),
                "this version of the {what} cannot be used; the one in force stays"
            );
            if source == known::CHOSEN {
                self.reject(&version, &chain(&*error));
            }
        }
    }

    /// Loads a version, and puts it in force.
    async fn take(&mut self, content: Vec<u8>, record: InForce) -> Result<(), Fault> {
        let what = E::WHAT;
        // For the next start, which may find another file.
        self.written(|source| source.versions.store(&content, &record.version.name).map(drop));
        let loaded = self.put(content, &record.version.name).await.inspect_err(|_| self.counts.refused())?;
        self.counts.taken();
        tracing::info!(
            version = record.version.short(),
            name = record.version.name,
            source = record.source,
            "another version of the {what} is in force"
        );
        let before = std::mem::replace(&mut self.held, Held { record, loaded });
        self.remember_before(&before.record);
        self.remember();
        let is_on_trial = self.exchanged.may_go_back_to(&before.loaded);
        self.trial = is_on_trial.then(|| (before, Instant::now() + TRIAL));
        Ok(())
    }

    /// Loads a version and puts it in force. After an error the one before is in force everywhere.
    async fn put(&self, content: Vec<u8>, name: &str) -> Result<E::Loaded, Fault> {
        let loaded = self.exchanged.load(content, name).await?;
        if let Err(error) = self.exchanged.put(loaded.clone()).await {
            // Also where the new one runs: one version on all threads.
            let _ = self.exchanged.put(self.held.loaded.clone()).await;
            return Err(error);
        }
        Ok(loaded)
    }

    async fn go_back(&mut self, reason: &str) {
        let Some((mut before, _)) = self.trial.take() else { return };
        let (what, command) = (E::WHAT, E::COMMAND);
        let failed = self.held.record.version.clone();
        if !self.exchanged.may_go_back_to(&before.loaded) {
            tracing::error!(
                failed = failed.short(),
                reason,
                "the new version of the {what} fails, and the earlier one cannot take its place any more"
            );
            return;
        }
        before.record.since_ms = Clock::system().now_ms();
        if let Err(error) = self.exchanged.put(before.loaded.clone()).await {
            tracing::error!(
                error = chain(&*error),
                "the earlier version of the {what} does not start everywhere"
            );
        }
        tracing::error!(
            failed = failed.short(),
            version = before.record.version.short(),
            reason,
            "the new version of the {what} went back by itself: the earlier one is in force again; `larder {command}` tries it again"
        );
        self.reject(&failed, reason);
        self.counts.went_back();
        self.held = before;
        self.remember();
    }

    fn record(&self, version: Version, source: &str) -> InForce {
        InForce { version, source: source.to_owned(), since_ms: Clock::system().now_ms() }
    }

    /// Writes down what is in force, and tells it.
    fn remember(&self) {
        self.written(|source| source.versions.record(self.held.record.clone()));
        self.in_force.send_replace(self.held.record.clone());
    }

    /// Writes down what was in force before, if it is not there: a start with the built-in version
    /// leaves no trace.
    fn remember_before(&self, before: &InForce) {
        self.written(|source| match source.versions.history().is_empty() {
            true => source.versions.record(before.clone()),
            false => Ok(()),
        });
    }

    fn reject(&self, version: &Version, reason: &str) {
        self.written(|source| source.versions.reject(version, reason));
    }

    fn written(&self, write: impl FnOnce(&Source) -> std::io::Result<()>) {
        if let Some(Err(error)) = self.source.as_ref().map(write) {
            tracing::warn!(%error, "cannot write down which {} is in force", E::WHAT);
        }
    }
}

#[cfg(test)]
mod tests;
