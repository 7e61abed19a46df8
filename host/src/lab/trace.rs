//! Traces as something that can be replayed.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use larder_common::event::{Event, EventKind};
use larder_index::{Facts, Slot, Trust};

use crate::auth::Scope;

/// Longest line, in bytes: an event has some kilobytes.
const MAX_LINE_BYTES: u64 = 256 << 10;

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{path}: cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not an event.
    #[error("{path}:{line}: is not an event: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1 on.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to be replayed.
    #[error("the trace has no look-up and no save{0}")]
    Empty(String),
}

/// What is replayed of some traces, in the order of its times.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Entries that were found, and saved before the trace began, in the order of their saves.
    pub(super) seeds: Vec<Seed>,
    pub(super) steps: Vec<Step>,
    /// All events that were read.
    pub events: usize,
    /// When the first look-up or save was, in milliseconds since 1970.
    pub from_ms: u64,
    /// When the last one was.
    pub to_ms: u64,
}

/// An entry of before the trace.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    id: u64,
    pub(super) slot: Slot,
    pub(super) size: u64,
}

/// Something that a job did.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at_ms: u64,
    pub(super) job: Job,
    pub(super) what: Action,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) repository: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) facts: Facts,
    pub(super) client: String,
}

/// What it did.
#[derive(Clone, Debug)]
pub(super) enum Action {
    LookUp {
        version: String,
        key: String,
        restore_keys: Vec<String>,
        /// The length of what was found under the key itself: then the job saved nothing.
        found: Option<u64>,
    },
    Save {
        slot: Slot,
        size: u64,
        trust: Trust,
    },
}

impl Trace {
    /// Reads files. Of a directory: all of them. `tenant`: of which only, if the trace has several.
    /// A last line without its end, which a crash has left, is passed over.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn read(paths: &[PathBuf], tenant: Option<&str>) -> Result<Self, TraceError> {
        let mut events = Vec::new();
        for path in paths {
            for file in files(path)? {
                read_file(&file, &mut events)?;
            }
        }
        events.retain(|event| tenant.is_none_or(|tenant| event.tenant == tenant));
        Self::of(events).ok_or_else(|| {
            TraceError::Empty(tenant.map(|tenant| format!(" of the tenant {tenant}")).unwrap_or_default())
        })
    }

    /// Orders events by their times. Returns `None` if none of them is a look-up or a save.
    pub(super) fn of(mut events: Vec<Event>) -> Option<Self> {
        events.sort_by_key(|event| event.time_ms);
        let count = events.len();
        let is_saved = |event: &&Event| event.kind == EventKind::Finalize && event.outcome == "finalized";
        let saved: HashSet<u64> = events.iter().filter(is_saved).filter_map(|event| event.entry).collect();
        let (mut seeds, mut trusts) = (HashMap::new(), HashMap::new());
        let mut steps = Vec::new();
        for event in events {
            match (event.kind, event.outcome.as_str()) {
                (EventKind::Reserve, _) => {
                    if let (Some(slot), Some(trust)) = (slot(&event), trust(&event)) {
                        trusts.insert(slot, trust);
                    }
                }
                (EventKind::Finalize, "finalized") => steps.extend(save(event, &trusts)),
                (EventKind::Lookup, "hit" | "miss" | "stale") => {
                    if let Some(seed) = seed(&event).filter(|seed| !saved.contains(&seed.id)) {
                        seeds.entry(seed.id).or_insert(seed);
                    }
                    steps.extend(look_up(event));
                }
                _ => {}
            }
        }
        let (from_ms, to_ms) = (steps.first()?.at_ms, steps.last()?.at_ms);
        let mut seeds: Vec<Seed> = seeds.into_values().collect();
        seeds.sort_by_key(|seed| seed.id);
        Some(Self { seeds, steps, events: count, from_ms, to_ms })
    }

    /// How many entries were found that were saved before the trace began.
    #[must_use]
    pub fn seeded(&self) -> usize {
        self.seeds.len()
    }
}

/// The files of a path: itself, or those of a directory, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, TraceError> {
    let fault = |source| TraceError::File { path: path.to_owned(), source };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = path.read_dir().map_err(fault)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = listed.collect::<io::Result<Vec<PathBuf>>>().map_err(fault)?;
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().contains(".jsonl")));
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, events: &mut Vec<Event>) -> Result<(), TraceError> {
    let fault = |source| TraceError::File { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(fault)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = io::Read::take(&mut reader, MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(fault)?;
        if read == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n");
        match serde_json::from_slice(&line) {
            Ok(event) => events.push(event),
            Err(_) if !is_whole && (read as u64) < MAX_LINE_BYTES => break,
            Err(error) => {
                let problem = error.to_string();
                return Err(TraceError::Line { path: path.to_owned(), line: number, problem });
            }
        }
    }
    Ok(())
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

fn save(event: Event, trusts: &HashMap<Slot, Trust>) -> Option<Step> {
    let (slot, size) = (slot(&event)?, event.size?);
    let trust = trusts.get(&slot).copied();
    let trust = Trust::of(trust, &slot.scope);
    Some(Step { at_ms: event.time_ms, job: job(event), what: Action::Save { slot, size, trust } })
}

fn look_up(event: Event) -> Option<Step> {
    let (version, key) = (event.version.clone()?, event.key.clone()?);
    let found = event.size.filter(|_| event.outcome == "hit" && event.matched_key.is_none());
    let restore_keys = event.restore_keys.clone();
    let what = Action::LookUp { version, key, restore_keys, found };
    Some(Step { at_ms: event.time_ms, job: job(event), what })
}

fn job(event: Event) -> Job {
    let Event { repository, scopes, facts, client, .. } = event;
    Job { repository, scopes: scopes.iter().map(|text| scope(text)).collect(), facts, client }
}

fn scope(text: &str) -> Scope {
    let (name, mode) = text.rsplit_once('=').unwrap_or((text, ""));
    Scope { name: name.to_owned(), read: mode.contains('r'), write: mode.contains('w') }
}
