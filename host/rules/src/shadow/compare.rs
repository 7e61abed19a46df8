//! The questions that a shadow gets, and how its answers differ from those that hold.

use crate::{
    failure::Failure,
    session::Session,
    types::{Admission, Caller, Entry, Hit, Interface, Member, RetentionVerdict, Save, SaveVerdict, Scope},
};

/// A question, with what is asked about.
pub(crate) enum Question {
    Admit(Caller),
    Hit(Caller, Entry),
    Save(Caller, Save),
    Judge(Vec<Member>),
    Rank(Vec<Entry>),
}

/// An answer to it.
#[derive(Clone)]
pub(crate) enum Answer {
    Admit(Admission),
    Hit(Hit),
    Save(SaveVerdict),
    Judge(Vec<RetentionVerdict>),
    Rank(Vec<f64>),
    /// There is none.
    Failed,
}

/// How an answer differs.
#[derive(Clone, Copy)]
pub(super) struct Differs<'a> {
    /// Which of the page's entries it is about.
    pub(super) at: usize,
    /// The decision that holds, in a word.
    pub(super) active: &'static str,
    /// That of the shadow.
    pub(super) shadow: &'static str,
    /// What the shadow says about it: a reason, the name of a rule.
    pub(super) text: Option<&'a str>,
}

impl Question {
    pub(super) fn interface(&self) -> Interface {
        match self {
            Self::Admit(_) => Interface::Access,
            Self::Hit(..) => Interface::Restore,
            Self::Save(..) => Interface::Save,
            Self::Judge(_) | Self::Rank(_) => Interface::Retention,
        }
    }

    /// How many callers or entries it is about.
    pub(super) fn subjects(&self) -> usize {
        match self {
            Self::Admit(_) | Self::Hit(..) | Self::Save(..) => 1,
            Self::Judge(members) => members.len(),
            Self::Rank(entries) => entries.len(),
        }
    }

    pub(super) fn ask(&self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            Self::Admit(caller) => session.admit(caller).map(Answer::Admit),
            Self::Hit(caller, entry) => session.judge_hit(caller, entry).map(Answer::Hit),
            Self::Save(caller, save) => session.judge_save(caller, save).map(Answer::Save),
            Self::Judge(members) => session.judge(members).map(Answer::Judge),
            Self::Rank(entries) => session.rank(entries).map(Answer::Rank),
        }
    }

    /// Calls `differs` for each decision that is another one. Other words for the same decision are none.
    pub(super) fn compare<'a>(
        &self,
        active: &Answer,
        shadow: &'a Answer,
        mut differs: impl FnMut(Differs<'a>),
    ) {
        let one = |active, shadow, text| Differs { at: 0, active, shadow, text };
        match (active, shadow) {
            (Answer::Judge(active), Answer::Judge(shadow)) => {
                for (at, (active, shadow)) in active.iter().zip(shadow).enumerate() {
                    let (holds, (other, text)) = (verdict(active).0, verdict(shadow));
                    if holds != other {
                        differs(Differs { at, active: holds, shadow: other, text });
                    }
                }
            }
            (Answer::Rank(active), Answer::Rank(shadow)) => {
                if order(active) != order(shadow) {
                    differs(one("order", "other-order", None));
                }
            }
            (Answer::Admit(Admission::Scopes(active)), Answer::Admit(Admission::Scopes(shadow))) => {
                if sorted(active) != sorted(shadow) {
                    differs(one("scopes", "other-scopes", None));
                }
            }
            (Answer::Save(SaveVerdict::Accept(active)), Answer::Save(SaveVerdict::Accept(shadow))) => {
                if active != shadow {
                    differs(one("accept", "other-terms", None));
                }
            }
            _ => {
                let (holds, (other, text)) = (self.decision(active).0, self.decision(shadow));
                if holds != other {
                    differs(one(holds, other, text));
                }
            }
        }
    }

    /// A decision in a word, and its text. All scopes of the token are what `default` leaves, too.
    fn decision<'a>(&self, answer: &'a Answer) -> (&'static str, Option<&'a str>) {
        match (answer, self) {
            (Answer::Admit(Admission::Scopes(scopes)), Self::Admit(caller))
                if sorted(scopes) == sorted(&caller.scopes) =>
            {
                ("default", None)
            }
            (Answer::Admit(Admission::Default), _) | (Answer::Save(SaveVerdict::Default), _) => {
                ("default", None)
            }
            (Answer::Admit(Admission::Scopes(_)), _) => ("scopes", None),
            (Answer::Admit(Admission::Deny(reason)), _) => ("deny", Some(reason)),
            (Answer::Hit(Hit::Accept), _) | (Answer::Save(SaveVerdict::Accept(_)), _) => ("accept", None),
            (Answer::Hit(Hit::Skip(reason)), _) => ("skip", Some(reason)),
            (Answer::Save(SaveVerdict::Refuse(reason)), _) => ("refuse", Some(reason)),
            (Answer::Save(SaveVerdict::RefuseQuietly(reason)), _) => ("refuse-quietly", Some(reason)),
            (Answer::Judge(_), _) => ("judged", None),
            (Answer::Rank(_), _) => ("order", None),
            (Answer::Failed, _) => ("failed", None),
        }
    }
}

fn verdict(verdict: &RetentionVerdict) -> (&'static str, Option<&str>) {
    match verdict {
        RetentionVerdict::Default => ("default", None),
        RetentionVerdict::Keep => ("keep", None),
        RetentionVerdict::Remove(rule) => ("remove", Some(rule)),
    }
}

/// Which entries come first.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
    order
}

fn sorted(scopes: &[Scope]) -> Vec<(&str, bool, bool)> {
    let mut scopes: Vec<_> =
        scopes.iter().map(|scope| (scope.name.as_str(), scope.read, scope.write)).collect();
    scopes.sort_unstable();
    scopes
}
