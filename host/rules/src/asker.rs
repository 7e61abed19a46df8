//! The rules in force, and their shadow. Both may be exchanged at any time: each thread notices at its
//! next question.

mod in_force;
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
use parking_lot::Mutex;

pub(crate) use in_force::InForce;
pub use status::{InterfaceStatus, Status};

use crate::{
    failure::{Failure, FailureKind, RulesError},
    limits::Limits,
    rules::Rules,
    session::Session,
    shadow::{Answer, Question, Shadow, ShadowStatus},
    types::{Admission, Caller, Entry, Hit, Interface, Member, RetentionVerdict, Save, SaveVerdict},
};

/// Asks the rules in force, from any thread. Each thread has an instance of its own. Cloned, it is the
/// same.
///
/// Rules in the *shadow* get the same questions on a thread of their own, and their answers are only
/// compared ([`set_shadow`](Self::set_shadow)).
#[derive(Clone, Default)]
pub struct Asker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    limits: Limits,
    current: ArcSwapOption<InForce>,
    shadow: ArcSwapOption<Shadow>,
    /// How often rules or their shadow were exchanged.
    generation: AtomicU64,
    /// Held by who exchanges either.
    exchanging: Mutex<()>,
}

impl Asker {
    /// Makes one without rules.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { limits, ..Shared::default() }) }
    }

    /// Puts rules in force, or none. Questions under way are answered by those of before, which are
    /// returned. What the shadow has counted begins anew.
    pub fn exchange(&self, rules: Option<Arc<Rules>>) -> Option<Arc<Rules>> {
        let _held = self.shared.exchanging.lock();
        let next = rules.map(|rules| InForce::new(rules, self.shared.limits));
        let before = self.shared.current.swap(next);
        if let Some(shadow) = &*self.shared.shadow.load() {
            shadow.begin_anew();
        }
        self.shared.generation.fetch_add(1, Release);
        before.map(|before| before.rules.clone())
    }

    /// Puts rules in the shadow, or none. Of each hundred questions they get so many; 100: all.
    ///
    /// # Errors
    /// When their thread does not start. The earlier ones are gone then, too.
    pub fn set_shadow(&self, rules: Option<Arc<Rules>>, percent: u8) -> Result<(), RulesError> {
        let _held = self.shared.exchanging.lock();
        self.shared.shadow.store(None);
        let start = |rules| Shadow::start(InForce::new(rules, self.shared.limits), percent);
        let started = rules.map(start).transpose().map_err(RulesError::Engine);
        let shadow = started?.map(Arc::new);
        self.shared.shadow.store(shadow);
        // Tokens that are known are asked about again: else it would never hear of them.
        self.shared.generation.fetch_add(1, Release);
        Ok(())
    }

    /// Changes after each exchange, of rules or their shadow. An answer that is kept with the number of
    /// before the question is good as long as the number is the same.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Acquire)
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.shared.current.load().as_ref().map(|current| current.rules.clone())
    }

    /// The rules in the shadow.
    #[must_use]
    pub fn shadow(&self) -> Option<Arc<Rules>> {
        self.shared.shadow.load().as_ref().map(|shadow| shadow.rules().clone())
    }

    /// Returns whether the rules in force answer the questions of an interface. Costs next to nothing.
    #[must_use]
    pub fn answers(&self, interface: Interface) -> bool {
        self.shared.current.load().as_ref().is_some_and(|current| current.rules.answers(interface))
    }

    /// Returns whether rules are in force that decide about requests. Those in the shadow decide nothing.
    #[must_use]
    pub fn decide_requests(&self) -> bool {
        self.shared.current.load().as_ref().is_some_and(|current| current.rules.decide_requests())
    }

    /// Returns whether questions of an interface are to be asked: the rules in force answer them, or
    /// those in the shadow do. Costs next to nothing.
    #[must_use]
    pub fn is_asked(&self, interface: Interface) -> bool {
        self.answers(interface) || self.is_shadowed(interface)
    }

    /// Returns whether the rules in force have an order of their own to make room in.
    #[must_use]
    pub fn ranks(&self) -> bool {
        self.shared.current.load().as_ref().is_some_and(|current| current.rules.ranks())
    }

    fn is_shadowed(&self, interface: Interface) -> bool {
        self.shared.shadow.load().as_ref().is_some_and(|shadow| shadow.rules().answers(interface))
    }

    /// What has become of the questions since the rules are in force; `None` without rules.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let current = self.shared.current.load();
        current.as_ref().map(|current| current.status(Instant::now()))
    }

    /// What the rules in the shadow answered otherwise, since they or those in force were exchanged;
    /// `None` without any in the shadow.
    #[must_use]
    pub fn shadow_status(&self) -> Option<ShadowStatus> {
        self.shared.shadow.load().as_ref().map(|shadow| shadow.status())
    }

    /// As [`Session::admit`]. Where only the shadow answers: the built-in decision.
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn admit(&self, caller: &Caller) -> Result<Admission, Failure> {
        let built_in = || Admission::Default;
        let answer = self.ask(Interface::Access, built_in, |session| session.admit(caller));
        self.offer(Interface::Access, || Question::Admit(caller.clone()), &answer, Answer::Admit);
        answer
    }

    /// As [`Session::judge_hit`]. Where only the shadow answers: the built-in decision.
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn judge_hit(&self, caller: &Caller, entry: &Entry) -> Result<Hit, Failure> {
        let answer = self.ask(Interface::Restore, || Hit::Accept, |session| session.judge_hit(caller, entry));
        let question = || Question::Hit(caller.clone(), entry.clone());
        self.offer(Interface::Restore, question, &answer, Answer::Hit);
        answer
    }

    /// As [`Session::judge_save`]. Where only the shadow answers: the built-in decision.
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn judge_save(&self, caller: &Caller, save: &Save) -> Result<SaveVerdict, Failure> {
        let built_in = || SaveVerdict::Default;
        let answer = self.ask(Interface::Save, built_in, |session| session.judge_save(caller, save));
        let question = || Question::Save(caller.clone(), save.clone());
        self.offer(Interface::Save, question, &answer, Answer::Save);
        answer
    }

    /// As [`Session::group`]. Where only the shadow answers: no groups. The shadow has groups of its own
    /// ([`shadow_group`](Self::shadow_group)).
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn group(&self, entries: &[Entry]) -> Result<Vec<Option<String>>, Failure> {
        self.ask(Interface::Retention, || vec![None; entries.len()], |session| session.group(entries))
    }

    /// Asks the rules in the shadow for groups, on the caller's thread: the places in them are part of
    /// what they are asked by [`judge`](Self::judge). `None` where none answer.
    #[must_use]
    pub fn shadow_group(&self, entries: &[Entry]) -> Option<Vec<Option<String>>> {
        self.shared.shadow.load().as_ref()?.group(entries)
    }

    /// As [`Session::judge`]. Where only the shadow answers: the built-in decision. `shadow_places` is
    /// the place of each member in its group of the shadow.
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn judge(
        &self,
        members: &[Member],
        shadow_places: impl Fn(usize) -> Option<u32>,
    ) -> Result<Vec<RetentionVerdict>, Failure> {
        let built_in = || vec![RetentionVerdict::Default; members.len()];
        let answer = self.ask(Interface::Retention, built_in, |session| session.judge(members));
        let with_place =
            |(at, member): (usize, &Member)| Member { place: shadow_places(at), ..member.clone() };
        let question = || Question::Judge(members.iter().enumerate().map(with_place).collect());
        self.offer(Interface::Retention, question, &answer, Answer::Judge);
        answer
    }

    /// As [`Session::rank`]. The shadow is asked where the rules in force have an order to compare with.
    ///
    /// # Errors
    /// [`Failure`]; [`FailureKind::NotExported`] without rules.
    pub fn rank(&self, entries: &[Entry]) -> Result<Vec<f64>, Failure> {
        let answer = self.ask_those_in_force(Interface::Retention, |session| session.rank(entries));
        if answer.is_ok() {
            let question = || Question::Rank(entries.to_vec());
            self.offer(Interface::Retention, question, &answer, Answer::Rank);
        }
        answer
    }

    /// Offers a question to the shadow, with the answer that holds: the one place where that is done.
    /// Never waits. Costs next to nothing without a shadow that answers such questions.
    fn offer<R: Clone>(
        &self,
        interface: Interface,
        question: impl FnOnce() -> Question,
        active: &Result<R, Failure>,
        answer: fn(R) -> Answer,
    ) {
        if let Some(shadow) = &*self.shared.shadow.load()
            && shadow.rules().answers(interface)
        {
            shadow
                .offer(question, || active.as_ref().map_or(Answer::Failed, |active| answer(active.clone())));
        }
    }

    /// Asks the rules in force; what is built in holds where only the shadow has something to say.
    fn ask<R>(
        &self,
        interface: Interface,
        built_in: impl FnOnce() -> R,
        ask: impl FnOnce(&mut Session) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        match self.ask_those_in_force(interface, ask) {
            Err(failure) if failure.kind == FailureKind::NotExported && self.is_shadowed(interface) => {
                Ok(built_in())
            }
            answer => answer,
        }
    }

    fn ask_those_in_force<R>(
        &self,
        interface: Interface,
        ask: impl FnOnce(&mut Session) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        match &*self.shared.current.load() {
            Some(current) => current.ask(self.id(), interface, ask),
            None => Err(Failure::new(FailureKind::NotExported, "no rules are in force").of(interface)),
        }
    }

    /// Tells it from others that exist at the same time.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}
