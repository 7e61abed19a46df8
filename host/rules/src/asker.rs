//! The rules in force. They may be exchanged at any time: each thread notices at its next question.

mod sessions;
mod status;

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::Instant,
};

use arc_swap::ArcSwapOption;

pub use status::{InterfaceStatus, Status};

use crate::{
    breaker::Breaker,
    failure::{Failure, FailureKind},
    limits::Limits,
    rules::Rules,
    session::Session,
    types::{Admission, Caller, Entry, Hit, Interface, Member, RetentionVerdict, Save, SaveVerdict},
};
use sessions::with_session;
use status::Counters;

/// Asks the rules in force, from any thread. Each thread has an instance of its own. Cloned, it is the
/// same.
#[derive(Clone, Default)]
pub struct Asker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    limits: Limits,
    current: ArcSwapOption<InForce>,
    /// How often rules were exchanged.
    generation: AtomicU64,
}

/// Rules, from when they are put in force until they are exchanged.
struct InForce {
    rules: Arc<Rules>,
    limits: Limits,
    breakers: [Breaker; Interface::ALL.len()],
    counters: [Counters; Interface::ALL.len()],
}

impl Asker {
    /// Makes one without rules.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { limits, ..Shared::default() }) }
    }

    /// Puts rules in force, or none. Questions under way are answered by those of before, which are
    /// returned.
    pub fn exchange(&self, rules: Option<Arc<Rules>>) -> Option<Arc<Rules>> {
        let next = rules.map(|rules| Arc::new(InForce::new(rules, self.shared.limits)));
        let before = self.shared.current.swap(next);
        self.shared.generation.fetch_add(1, Release);
        before.map(|before| before.rules.clone())
    }

    /// Changes after each exchange. An answer that is kept with the number of before the question is
    /// good as long as the number is the same.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Acquire)
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.shared.current.load().as_ref().map(|current| current.rules.clone())
    }

    /// Returns whether the rules in force answer the questions of an interface. Costs next to nothing.
    #[must_use]
    pub fn answers(&self, interface: Interface) -> bool {
        self.shared.current.load().as_ref().is_some_and(|current| current.rules.answers(interface))
    }

    /// What has become of the questions since the rules are in force; `None` without rules.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let current = self.shared.current.load();
        current.as_ref().map(|current| current.status(Instant::now()))
    }

    /// As [`Session::admit`].
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn admit(&self, caller: &Caller) -> Result<Admission, Failure> {
        self.ask(Interface::Access, |session| session.admit(caller))
    }

    /// As [`Session::judge_hit`].
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn judge_hit(&self, caller: &Caller, entry: &Entry) -> Result<Hit, Failure> {
        self.ask(Interface::Restore, |session| session.judge_hit(caller, entry))
    }

    /// As [`Session::judge_save`].
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn judge_save(&self, caller: &Caller, save: &Save) -> Result<SaveVerdict, Failure> {
        self.ask(Interface::Save, |session| session.judge_save(caller, save))
    }

    /// As [`Session::group`].
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn group(&self, entries: &[Entry]) -> Result<Vec<Option<String>>, Failure> {
        self.ask(Interface::Retention, |session| session.group(entries))
    }

    /// As [`Session::judge`].
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn judge(&self, members: &[Member]) -> Result<Vec<RetentionVerdict>, Failure> {
        self.ask(Interface::Retention, |session| session.judge(members))
    }

    /// As [`Session::rank`].
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn rank(&self, entries: &[Entry]) -> Result<Vec<f64>, Failure> {
        self.ask(Interface::Retention, |session| session.rank(entries))
    }

    fn ask<R>(
        &self,
        interface: Interface,
        ask: impl FnOnce(&mut Session) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let current = self.shared.current.load();
        let Some(current) = &*current else {
            return Err(Failure::new(FailureKind::NotExported, "no rules are in force").of(interface));
        };
        if !current.rules.answers(interface) {
            return Err(current.rules.not_exported(interface));
        }
        let (breaker, counters) =
            (&current.breakers[interface as usize], &current.counters[interface as usize]);
        let began = Instant::now();
        if !breaker.may_ask(began) {
            counters.rested();
            let text = "the rules rest, because earlier questions took too long in vain";
            return Err(Failure::new(FailureKind::Resting, text).of(interface));
        }
        let answer = with_session(self.id(), current, ask);
        let took = began.elapsed();
        match &answer {
            Ok(_) => breaker.succeeded(),
            Err(failure) => breaker.failed(failure.kind, Instant::now()),
        }
        counters.count(took, answer.as_ref().err());
        answer
    }

    /// Tells it from others that exist at the same time.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}

impl InForce {
    fn new(rules: Arc<Rules>, limits: Limits) -> Self {
        Self { rules, limits, breakers: Default::default(), counters: Default::default() }
    }

    fn status(&self, now: Instant) -> Status {
        let of = |interface: &Interface| {
            let at = *interface as usize;
            self.counters[at].status(*interface, self.breakers[at].rests_until(), now)
        };
        Status {
            name: self.rules.name().to_owned(),
            digest: self.rules.digest().to_owned(),
            interfaces: self.rules.interfaces().iter().map(of).collect(),
        }
    }
}
