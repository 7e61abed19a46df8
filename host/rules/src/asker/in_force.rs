//! Rules that are asked by many threads, with what has become of their questions.

use std::{sync::Arc, time::Instant};

use super::{
    sessions::with_session,
    status::{Counters, Status},
};
use crate::{
    breaker::Breaker,
    failure::{Failure, FailureKind},
    limits::Limits,
    rules::Rules,
    session::Session,
    types::Interface,
};

/// Rules, from when they are put in force until they are exchanged.
pub(crate) struct InForce {
    pub(crate) rules: Arc<Rules>,
    pub(super) limits: Limits,
    breakers: [Breaker; Interface::ALL.len()],
    counters: [Counters; Interface::ALL.len()],
}

impl InForce {
    pub(crate) fn new(rules: Arc<Rules>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { rules, limits, breakers: Default::default(), counters: Default::default() })
    }

    /// Asks this thread's instance, unless the rules rest. `asker` tells who asks from others that exist
    /// at the same time.
    pub(crate) fn ask<R>(
        self: &Arc<Self>,
        asker: usize,
        interface: Interface,
        ask: impl FnOnce(&mut Session) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if !self.rules.answers(interface) {
            return Err(self.rules.not_exported(interface));
        }
        let (breaker, counters) = (&self.breakers[interface as usize], &self.counters[interface as usize]);
        let began = Instant::now();
        if !breaker.may_ask(began) {
            counters.rested();
            let text = "the rules rest, because earlier questions took too long in vain";
            return Err(Failure::new(FailureKind::Resting, text).of(interface));
        }
        let answer = with_session(asker, self, ask);
        let took = began.elapsed();
        match &answer {
            Ok(_) => breaker.succeeded(),
            Err(failure) => breaker.failed(failure.kind, Instant::now()),
        }
        counters.count(took, answer.as_ref().err());
        answer
    }

    pub(crate) fn status(&self, now: Instant) -> Status {
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
