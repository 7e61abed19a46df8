//! Traces as something that can be replayed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread,
};

use larder_common::event::Event;
use larder_index::{Facts, Slot, Trust};

use super::gathering::Gathered;
use crate::auth::Scope;

/// Longest line, in bytes: an event has some kilobytes.
const MAX_LINE_BYTES: u64 = 256 << 10;
/// The latest time of an event, in milliseconds since 1970: in the year 2970. The clock of a replay goes on from
/// there.
const MAX_TIME_MS: u64 = 1000 * 365 * 24 * 60 * 60 * 1000;

/// Events that are passed to another thread at once.
const BATCH: usize = 256;
/// Most batches that wait there.
const MAX_BATCHES: usize = 8;

/// How a compressed file begins.
const GZIP: &[u8] = b"\x1f\x8b";

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
    #[error(
        "{path}:{line}: is not an event: {problem}. A trace is what `trace.dir` of a server gets: a line of JSON for each event"
    )]
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
    pub(super) id: u64,
    pub(super) slot: Slot,
    pub(super) size: u64,
}

/// Something that a job did. Of equal jobs, and of equal actions, there is one.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at_ms: u64,
    pub(super) job: Arc<Job>,
    pub(super) what: Arc<Action>,
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Reads files on a thread of their own, and gathers what they have on this one. Of a directory: all of
    /// them. `tenant`: of which only, if the trace has several. A last line without its end, which a crash has
    /// left, is passed over.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn read(paths: &[PathBuf], tenant: Option<&str>) -> Result<Self, TraceError> {
        let gathered = thread::scope(|scope| {
            let (sender, batches) = mpsc::sync_channel(MAX_BATCHES);
            let reader = scope.spawn(move || read_files(paths, tenant, Batches::to(sender)));
            let mut gathered = Gathered::default();
            batches.into_iter().flatten().for_each(|event| gathered.add(event));
            reader.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))?;
            Ok(gathered)
        })?;
        gathered.finish().ok_or_else(|| {
            TraceError::Empty(tenant.map(|tenant| format!(" of the tenant {tenant}")).unwrap_or_default())
        })
    }

    /// Orders events by their times. Returns `None` if none of them is a look-up or a save.
    #[cfg(test)]
    pub(super) fn of(events: Vec<Event>) -> Option<Self> {
        let mut gathered = Gathered::default();
        events.into_iter().for_each(|event| gathered.add(event));
        gathered.finish()
    }

    /// How many entries were found that were saved before the trace began.
    #[must_use]
    pub fn seeded(&self) -> usize {
        self.seeds.len()
    }
}

/// Events on their way from the thread that reads them.
struct Batches {
    batch: Vec<Event>,
    to: SyncSender<Vec<Event>>,
}

impl Batches {
    fn to(to: SyncSender<Vec<Event>>) -> Self {
        Self { batch: Vec::with_capacity(BATCH), to }
    }

    fn add(&mut self, event: Event) {
        self.batch.push(event);
        if self.batch.len() == BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        // Who gathers ends before this only by a panic, which is passed on.
        let _ = self.to.send(mem::replace(&mut self.batch, Vec::with_capacity(BATCH)));
    }
}

fn read_files(paths: &[PathBuf], tenant: Option<&str>, mut batches: Batches) -> Result<(), TraceError> {
    let mut add = |event: Event| {
        if tenant.is_none_or(|tenant| event.tenant == tenant) {
            batches.add(event);
        }
    };
    for path in paths {
        for file in files(path)? {
            read_file(&file, &mut add)?;
        }
    }
    batches.send();
    Ok(())
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

fn read_file(path: &Path, add: &mut impl FnMut(Event)) -> Result<(), TraceError> {
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
        if line.trim_ascii().is_empty() {
            continue;
        }
        match event(&line) {
            Ok(event) => add(event),
            Err(_) if !is_whole && (read as u64) < MAX_LINE_BYTES => break,
            Err(problem) => return Err(TraceError::Line { path: path.to_owned(), line: number, problem }),
        }
    }
    Ok(())
}

/// Reads a line, or says what is wrong with it.
fn event(line: &[u8]) -> Result<Event, String> {
    if line.starts_with(GZIP) {
        return Err("the file is compressed; unpack it with gunzip".to_owned());
    }
    if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
        return Err(format!("it is longer than {} KiB", MAX_LINE_BYTES >> 10));
    }
    let event: Event = serde_json::from_slice(line).map_err(|error| {
        // Each line is a text of its own, so its line is the first one.
        let (text, at) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
        text.strip_suffix(&at)
            .map_or_else(|| text.clone(), |text| format!("{text}, at column {}", error.column()))
    })?;
    if event.time_ms > MAX_TIME_MS {
        return Err(format!("its time_ms is {}, which is after the year 2970", event.time_ms));
    }
    Ok(event)
}
