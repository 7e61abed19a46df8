//! Counts what a shadow was asked, and what it answered otherwise.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use larder_common::clock::Clock;
use parking_lot::Mutex;

use super::{
    Difference, Example, ShadowStatus,
    compare::{Answer, Differs, Question},
};
use crate::{
    asker::Status,
    types::{Caller, Entry, Interface},
};

/// Examples that are kept of a kind, and of all.
const EXAMPLES_OF_KIND: usize = 10;
const EXAMPLES: usize = 100;
/// Scopes of a token that are kept in an example.
const SCOPES: usize = 8;
/// Longest text that is kept in an example, in bytes.
const TEXT: usize = 512;

/// Since rules, or their shadow, were exchanged.
pub(super) struct Record {
    since_ms: u64,
    left_out: AtomicU64,
    offered: AtomicU64,
    answered: AtomicU64,
    dropped: AtomicU64,
    differences: Mutex<Differences>,
}

/// What differs: the interface, the decision that held, and the shadow's.
type Kind = (Interface, &'static str, &'static str);

/// Kinds are few: the words of the world.
#[derive(Default)]
struct Differences {
    counts: BTreeMap<Kind, u64>,
    /// The latest is the last.
    examples: VecDeque<(Kind, Example)>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            since_ms: Clock::system().now_ms(),
            left_out: AtomicU64::new(0),
            offered: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            differences: Mutex::default(),
        }
    }

    pub(super) fn left_out(&self) {
        self.left_out.fetch_add(1, Relaxed);
    }

    pub(super) fn offered(&self) {
        self.offered.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Release);
    }

    /// Counts an answer, and how it differs.
    pub(super) fn compare(&self, question: &Question, active: &Answer, shadow: &Answer) {
        let mut differences = self.differences.lock();
        question.compare(active, shadow, |differs| differences.add(question, &differs));
        drop(differences);
        self.answered.fetch_add(1, Release);
    }

    pub(super) fn status(&self, rules: Status, percent: u8) -> ShadowStatus {
        // What has an end began before: read in this order, no more have ended than were offered.
        let (answered, dropped) = (self.answered.load(Acquire), self.dropped.load(Acquire));
        let differences = self.differences.lock();
        let mut counted: Vec<Difference> = differences
            .counts
            .iter()
            .map(|(&(interface, active, shadow), &count)| Difference {
                interface,
                active: active.to_owned(),
                shadow: shadow.to_owned(),
                count,
            })
            .collect();
        counted.sort_by_key(|difference| std::cmp::Reverse(difference.count));
        ShadowStatus {
            rules,
            since_ms: self.since_ms,
            percent,
            left_out: self.left_out.load(Relaxed),
            offered: self.offered.load(Acquire),
            answered,
            dropped,
            differ: counted.iter().map(|difference| difference.count).sum(),
            differences: counted,
            examples: differences.examples.iter().rev().map(|(_, example)| example.clone()).collect(),
        }
    }
}

impl Differences {
    fn add(&mut self, question: &Question, differs: &Differs<'_>) {
        let kind = (question.interface(), differs.active, differs.shadow);
        *self.counts.entry(kind).or_default() += 1;
        let of_kind = self.examples.iter().filter(|(known, _)| *known == kind).count();
        let oldest_of_kind = || self.examples.iter().position(|(known, _)| *known == kind);
        if let Some(at) = oldest_of_kind().filter(|_| of_kind >= EXAMPLES_OF_KIND) {
            self.examples.remove(at);
        } else if self.examples.len() >= EXAMPLES {
            self.examples.pop_front();
        }
        self.examples.push_back((kind, example(question, differs)));
    }
}

fn example(question: &Question, differs: &Differs<'_>) -> Example {
    let example = Example {
        at_ms: Clock::system().now_ms(),
        interface: question.interface(),
        active: differs.active.to_owned(),
        shadow: differs.shadow.to_owned(),
        text: differs.text.map(cut),
        repository: String::new(),
        scopes: Vec::new(),
        key: None,
        version: None,
    };
    match question {
        Question::Admit(caller) => about_caller(example, caller),
        Question::Hit(_, entry) => about_entry(example, entry),
        Question::Save(caller, save) => Example {
            key: Some(cut(&save.key)),
            version: Some(cut(&save.version)),
            ..about_caller(example, caller)
        },
        Question::Judge(members) => match members.get(differs.at) {
            Some(member) => about_entry(example, &member.entry),
            None => example,
        },
        // About the whole page.
        Question::Rank(_) => example,
    }
}

fn about_caller(example: Example, caller: &Caller) -> Example {
    let scopes = caller.scopes.iter().take(SCOPES).map(|scope| cut(&scope.name)).collect();
    Example { repository: cut(&caller.repository), scopes, ..example }
}

fn about_entry(example: Example, entry: &Entry) -> Example {
    Example {
        repository: cut(&entry.repository),
        scopes: vec![cut(&entry.scope)],
        key: Some(cut(&entry.key)),
        version: Some(cut(&entry.version)),
        ..example
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT)].to_owned()
}
