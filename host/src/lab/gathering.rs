//! What is kept of a trace while it is read: of each event only what a replay needs, and what is equal
//! once. So a million events take some hundred bytes each, and most of them a few.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use larder_common::event::{Event, EventKind};
use larder_index::{Slot, Trust};

use super::trace::{Action, Job, Seed, Step, Trace};
use crate::auth::Scope;

/// The events that were read, in the order of the files.
#[derive(Default)]
pub(super) struct Gathered {
    count: usize,
    jobs: HashSet<Arc<Job>>,
    actions: HashSet<Arc<Action>>,
    notes: Vec<Note>,
    /// Entries that were found, each by its number, and when that was for the first time.
    found: HashMap<u64, (u64, Seed)>,
    saved: HashSet<u64>,
}

struct Note {
    at_ms: u64,
    what: What,
}

enum What {
    /// Who reserved a slot is trusted so.
    Reserved(Box<Slot>, Trust),
    Step(Arc<Job>, Arc<Action>),
}

impl Gathered {
    pub(super) fn add(&mut self, event: Event) {
        self.count += 1;
        let at_ms = event.time_ms;
        match (event.kind, event.outcome.as_str()) {
            (EventKind::Reserve, _) => {
                if let (Some(slot), Some(trust)) = (slot(&event), trust(&event)) {
                    self.notes.push(Note { at_ms, what: What::Reserved(Box::new(slot), trust) });
                }
            }
            (EventKind::Finalize, "finalized") => {
                self.saved.extend(event.entry);
                let action = save(&event);
                self.step(event, action);
            }
            (EventKind::Lookup, "hit" | "miss" | "stale") => {
                if let Some(seed) = seed(&event) {
                    let first = self.found.entry(seed.id).or_insert_with(|| (at_ms, seed.clone()));
                    if at_ms < first.0 {
                        *first = (at_ms, seed);
                    }
                }
                let action = look_up(&event);
                self.step(event, action);
            }
            _ => {}
        }
    }

    fn step(&mut self, event: Event, action: Option<Action>) {
        let Some(action) = action else { return };
        let at_ms = event.time_ms;
        let what = What::Step(once(&mut self.jobs, job(event)), once(&mut self.actions, action));
        self.notes.push(Note { at_ms, what });
    }

    /// Orders all by their times. Returns `None` if nothing is a look-up or a save.
    pub(super) fn finish(self) -> Option<Trace> {
        let Self { count, mut actions, mut notes, found, saved, .. } = self;
        notes.sort_by_key(|note| note.at_ms);
        let mut trusts = HashMap::new();
        let mut steps = Vec::new();
        for Note { at_ms, what } in notes {
            match what {
                What::Reserved(slot, trust) => {
                    trusts.insert(*slot, trust);
                }
                What::Step(job, what) => {
                    let what = trusted(&what, &trusts).map_or(what, |action| once(&mut actions, action));
                    steps.push(Step { at_ms, job, what });
                }
            }
        }
        let (from_ms, to_ms) = (steps.first()?.at_ms, steps.last()?.at_ms);
        let seeds = found.into_values().map(|(_, seed)| seed).filter(|seed| !saved.contains(&seed.id));
        let mut seeds: Vec<Seed> = seeds.collect();
        seeds.sort_by_key(|seed| seed.id);
        Some(Trace { seeds, steps, events: count, from_ms, to_ms })
    }
}

/// Returns a save with the trust of its reservation, where that is known.
fn trusted(action: &Action, trusts: &HashMap<Slot, Trust>) -> Option<Action> {
    let Action::Save { slot, size, .. } = action else { return None };
    let trust = trusts.get(slot).copied()?;
    Some(Action::Save { slot: slot.clone(), size: *size, trust: Trust::of(Some(trust), &slot.scope) })
}

/// Returns the one that is there already, if there is an equal one.
fn once<T: Eq + Hash>(known: &mut HashSet<Arc<T>>, value: T) -> Arc<T> {
    if let Some(known) = known.get(&value) {
        return known.clone();
    }
    let new = Arc::new(value);
    known.insert(new.clone());
    new
}

fn slot(event: &Event) -> Option<Slot> {
    Some(Slot {
        repository: event.repository.clone(),
        scope: event.scope.clone()?,
        version: event.version.clone()?,
        key: event.key.clone()?,
    })
}

fn trust(event: &Event) -> Option<Trust> {
    match event.trust.as_deref()? {
        "low" => Some(Trust::Low),
        "full" => Some(Trust::Full),
        _ => None,
    }
}

/// The entry that a look-up has found.
fn seed(event: &Event) -> Option<Seed> {
    let slot = slot(event)?;
    let key = event.matched_key.clone().unwrap_or_else(|| slot.key.clone());
    Some(Seed { id: event.entry?, slot: Slot { key, ..slot }, size: event.size? })
}

fn save(event: &Event) -> Option<Action> {
    let (slot, size) = (slot(event)?, event.size?);
    let trust = Trust::of(None, &slot.scope);
    Some(Action::Save { slot, size, trust })
}

fn look_up(event: &Event) -> Option<Action> {
    let (version, key) = (event.version.clone()?, event.key.clone()?);
    let found = event.size.filter(|_| event.outcome == "hit" && event.matched_key.is_none());
    Some(Action::LookUp { version, key, restore_keys: event.restore_keys.clone(), found })
}

fn job(event: Event) -> Job {
    let Event { repository, scopes, mut facts, client, .. } = event;
    facts.shrink_to_fit();
    Job { repository, scopes: scopes.iter().map(|text| scope(text)).collect(), facts, client }
}

/// A text that was cut, because it was too long, allows nothing.
fn scope(text: &str) -> Scope {
    text.parse().unwrap_or_else(|_| Scope { name: text.to_owned(), read: false, write: false })
}
