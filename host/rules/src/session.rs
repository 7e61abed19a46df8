//! One thread's way to ask rules.

use std::{cell::Cell, sync::Arc, time::Duration, time::Instant};

use crate::{
    check,
    failure::{Failure, FailureKind},
    limits::Limits,
    live::Live,
    rules::Rules,
    types::{Admission, Caller, Entry, Hit, Interface, Member, RetentionVerdict, Save, SaveVerdict},
};

/// An instance with more linear memory than that is not kept for the next call.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

thread_local! {
    /// How long rules took on this thread.
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Returns how long this thread has spent in rules since the last call of this function: not to be
/// charged to whoever asked.
#[must_use]
pub fn take_spent() -> Duration {
    SPENT.take()
}

/// Returns how long this thread has spent in rules since the last [`take_spent`].
#[must_use]
pub fn spent() -> Duration {
    SPENT.get()
}

/// Asks rules, whose instance it keeps from call to call. Every answer has been checked.
pub struct Session {
    rules: Arc<Rules>,
    limits: Limits,
    live: Option<Live>,
}

impl Session {
    /// Makes a session. The instance starts with the first question.
    #[must_use]
    pub fn new(rules: Arc<Rules>, limits: Limits) -> Self {
        Self { rules, limits, live: None }
    }

    /// The rules that it asks.
    #[must_use]
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Forgets the instance: the next question goes to a fresh one.
    pub fn refresh(&mut self) {
        self.live = None;
    }

    /// Bytes of linear memory of the instance; 0 if there is none.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.live.as_ref().map_or(0, Live::memory_bytes)
    }

    /// Asks what a token may do. Always of a fresh instance.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn admit(&mut self, caller: &Caller) -> Result<Admission, Failure> {
        // That of the other questions stays: a start for each of them is more than most of them take.
        let kept = self.live.take();
        let answer = self.ask(
            Interface::Access,
            |live, limits| live.admit(limits, caller),
            |answer| check::admission(caller, answer),
        );
        self.live = kept;
        answer
    }

    /// Asks whether a lookup takes an entry.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn judge_hit(&mut self, caller: &Caller, entry: &Entry) -> Result<Hit, Failure> {
        self.ask(Interface::Restore, |live, limits| live.judge_hit(limits, caller, entry), check::hit)
    }

    /// Asks whether something is saved.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn judge_save(&mut self, caller: &Caller, save: &Save) -> Result<SaveVerdict, Failure> {
        let Save { key, version, size_kib } = save;
        self.ask(
            Interface::Save,
            |live, limits| live.judge_save(limits, (caller, key, version, *size_kib)),
            check::save,
        )
    }

    /// Asks for the groups of up to 1,000 entries.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn group(&mut self, entries: &[Entry]) -> Result<Vec<Option<String>>, Failure> {
        self.ask(
            Interface::Retention,
            |live, limits| live.group(limits, entries),
            |answer| check::groups(entries.len(), answer),
        )
    }

    /// Asks which of up to 1,000 entries are deleted.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn judge(&mut self, members: &[Member]) -> Result<Vec<RetentionVerdict>, Failure> {
        self.ask(
            Interface::Retention,
            |live, limits| live.judge(limits, members),
            |answer| check::verdicts(members.len(), answer),
        )
    }

    /// Asks in which order up to 1,000 entries make room.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn rank(&mut self, entries: &[Entry]) -> Result<Vec<f64>, Failure> {
        self.ask(
            Interface::Retention,
            |live, limits| live.rank(limits, entries),
            |answer| check::scores(entries.len(), answer),
        )
    }

    fn ask<R>(
        &mut self,
        interface: Interface,
        call: impl FnOnce(&mut Live, &Limits) -> Option<Result<R, Failure>>,
        check: impl FnOnce(&R) -> check::Checked,
    ) -> Result<R, Failure> {
        if !self.rules.answers(interface) {
            return Err(self.rules.not_exported(interface));
        }
        let began = Instant::now();
        let answer = self.attempt(interface, call);
        SPENT.set(SPENT.get() + began.elapsed());
        let answer = answer.map_err(|failure| failure.of(interface))?;
        if let Err(problem) = check(&answer) {
            self.live = None;
            return Err(Failure::new(FailureKind::InvalidAnswer, problem).of(interface));
        }
        Ok(answer)
    }

    fn attempt<R>(
        &mut self,
        interface: Interface,
        call: impl FnOnce(&mut Live, &Limits) -> Option<Result<R, Failure>>,
    ) -> Result<R, Failure> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => Live::start(&self.rules, &self.limits)?,
        };
        let answer = call(&mut live, &self.limits).ok_or_else(|| self.rules.not_exported(interface))??;
        if live.memory_bytes() <= KEPT_BYTES {
            self.live = Some(live);
        }
        Ok(answer)
    }
}
