//! The bounds of answers, as `wit/rules/rules.wit` states them. Rules narrow what a token allows, and
//! never widen it.

use crate::types::{Admission, Caller, Hit, MAX_NUMBER, RetentionVerdict, SaveVerdict, Scope, Terms};

const MAX_REASON_BYTES: usize = 200;
const MAX_CAUSE_BYTES: usize = 64;
const MAX_GROUP_BYTES: usize = 1024;
const MAX_LABELS: usize = 8;
const MAX_LABEL_NAME_BYTES: usize = 32;
const MAX_LABEL_BYTES: usize = 200;
const MIN_LIFETIME_S: u32 = 60;
const MAX_LIFETIME_S: u32 = MAX_NUMBER;

/// What is wrong with an answer.
pub(crate) type Checked = Result<(), String>;

pub(crate) fn admission(caller: &Caller, admission: &Admission) -> Checked {
    match admission {
        Admission::Default => Ok(()),
        Admission::Scopes(scopes) => {
            scopes.iter().try_for_each(|scope| permitted(caller, scope))?;
            let is_repeated =
                |(at, scope): (usize, &Scope)| scopes[..at].iter().any(|earlier| earlier.name == scope.name);
            ensure(!scopes.iter().enumerate().any(is_repeated), "a scope is named twice")
        }
        Admission::Deny(why) => reason(why),
    }
}

/// Checks that the token has the scope, with these permissions.
fn permitted(caller: &Caller, scope: &Scope) -> Checked {
    let covers =
        |own: &Scope| own.name == scope.name && (own.read || !scope.read) && (own.write || !scope.write);
    ensure(
        caller.scopes.iter().any(covers),
        "a scope that the token does not have, or more than it may do there",
    )
}

pub(crate) fn hit(hit: &Hit) -> Checked {
    match hit {
        Hit::Accept => Ok(()),
        Hit::Skip(why) => reason(why),
    }
}

pub(crate) fn save(verdict: &SaveVerdict) -> Checked {
    match verdict {
        SaveVerdict::Default => Ok(()),
        SaveVerdict::Accept(accepted) => terms(accepted),
        SaveVerdict::Refuse(why) | SaveVerdict::RefuseQuietly(why) => reason(why),
    }
}

fn terms(terms: &Terms) -> Checked {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name =
        |name: &str| (1..=MAX_LABEL_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_of_name);
    let is_value = |value: &str| (1..=MAX_LABEL_BYTES).contains(&value.len()) && !has_control(value);
    let is_repeated = |(at, (name, _)): (usize, &(String, String))| {
        terms.labels[..at].iter().any(|(earlier, _)| earlier == name)
    };
    let is_lifetime = |seconds| (MIN_LIFETIME_S..=MAX_LIFETIME_S).contains(&seconds);
    ensure(terms.lifetime_s.is_none_or(is_lifetime), "a lifetime below 60 seconds, or above 2^31 - 1")?;
    ensure(terms.labels.len() <= MAX_LABELS, "more than 8 labels")?;
    ensure(
        terms.labels.iter().all(|(name, _)| is_name(name)),
        "the name of a label is not 1 to 32 of a to z, 0 to 9 and _",
    )?;
    ensure(!terms.labels.iter().enumerate().any(is_repeated), "a label is named twice")?;
    ensure(
        terms.labels.iter().all(|(_, value)| is_value(value)),
        "a label is not 1 to 200 bytes without control characters",
    )
}

pub(crate) fn groups(entries: usize, groups: &[Option<String>]) -> Checked {
    count(entries, groups.len())?;
    let is_short = |group: &String| group.len() <= MAX_GROUP_BYTES;
    ensure(groups.iter().flatten().all(is_short), "the name of a group has more than 1,024 bytes")
}

pub(crate) fn verdicts(members: usize, verdicts: &[RetentionVerdict]) -> Checked {
    count(members, verdicts.len())?;
    verdicts.iter().try_for_each(|verdict| match verdict {
        RetentionVerdict::Default | RetentionVerdict::Keep => Ok(()),
        RetentionVerdict::Remove(rule) => ensure(
            (1..=MAX_CAUSE_BYTES).contains(&rule.len()) && !has_control(rule),
            "the text of `remove` is not 1 to 64 bytes without control characters",
        ),
    })
}

pub(crate) fn scores(entries: usize, scores: &[f64]) -> Checked {
    count(entries, scores.len())?;
    ensure(!scores.iter().any(|score| score.is_nan()), "a score is not a number (NaN)")
}

fn count(asked: usize, answered: usize) -> Checked {
    if asked == answered { Ok(()) } else { Err(format!("{answered} answers to {asked} questions")) }
}

fn reason(why: &str) -> Checked {
    ensure(
        (1..=MAX_REASON_BYTES).contains(&why.len()) && !has_control(why),
        "a reason is not 1 to 200 bytes without control characters",
    )
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn ensure(holds: bool, otherwise: &str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
