//! Compiling in a process of its own. A component takes a hundred times its size to compile, and whoever
//! wrote it decides how much and for how long: with bounds, in a process that ends, that is no trouble of the
//! server's.
//!
//! The process is this very program ([`set_program`]), called with a command of its own that ends in
//! [`serve`]: so the compiler and its settings are the same. It gets the component as its standard input,
//! and writes the compiled one into the directory itself.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use rustix::{
    fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create},
    process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit},
};
use wasmtime::Engine;

use super::{Compiled, Kind};

/// Threads that compile, at most: each has memory of its own.
const MAX_THREADS: usize = 4;
/// Longest pause before it is looked again whether the process has ended.
const MAX_PAUSE: Duration = Duration::from_millis(20);
/// Longest text of a process, in bytes. A pipe holds more.
const MAX_TEXT_BYTES: usize = 2048;

/// The process says by its exit status: it is not a component, by the text on standard error.
const INVALID: u8 = 10;
/// And so: the compiled one cannot be stored.
const NOT_STORED: u8 = 11;

/// A program that compiles.
#[derive(Clone, Debug)]
pub struct CompilerProgram {
    /// The program and its first arguments. `--kind KIND --memory-bytes COUNT -- DIRECTORY` follow, which are
    /// those of [`serve`].
    pub command: Vec<OsString>,
    /// Most memory for its data, in bytes.
    pub memory_bytes: u64,
    /// After so long it is killed.
    pub deadline: Duration,
}

/// The program, where this process has one.
static PROGRAM: RwLock<Option<Arc<CompilerProgram>>> = RwLock::new(None);

/// Says by which program components are compiled from now on; without one, as at first, in this process. For
/// the program that serves alone: a library cannot know what the program around it would do with the
/// arguments.
pub fn set_program(program: Option<CompilerProgram>) {
    *PROGRAM.write() = program.map(Arc::new);
}

pub(super) fn program() -> Option<Arc<CompilerProgram>> {
    PROGRAM.read().clone()
}

/// Why nothing was compiled.
pub(super) enum Fault {
    /// The process did not start.
    Start(io::Error),
    /// What it has compiled cannot be stored.
    NotStored,
    /// It is not a component.
    Invalid(String),
    /// It took too much, or crashed.
    Failed(String),
}

impl CompilerProgram {
    /// Compiles a component into the directory.
    pub(super) fn compile(&self, kind: Kind, component: &[u8], dir: &Path) -> Result<(), Fault> {
        let mut child = self.start(kind, component, dir).map_err(Fault::Start)?;
        let id = child.id();
        let ended = wait(&mut child, self.deadline);
        let output = child.wait_with_output();
        let failed = |why: String| {
            remove_drafts(dir, id);
            Err(Fault::Failed(why))
        };
        let (ended, output) = match (ended, output) {
            (Ok(ended), Ok(output)) => (ended, output),
            (Err(error), _) | (_, Err(error)) => return failed(error.to_string()),
        };
        if !ended {
            return failed(format!("it took more than {} s", self.deadline.as_secs_f32()));
        }
        let text = String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(MAX_TEXT_BYTES)]);
        let text = text.trim().to_owned();
        match output.status.code() {
            Some(0) => Ok(()),
            Some(code) if code == i32::from(INVALID) => Err(Fault::Invalid(text)),
            Some(code) if code == i32::from(NOT_STORED) => Err(Fault::NotStored),
            _ => failed(self.shown(output.status, &text)),
        }
    }

    fn start(&self, kind: Kind, component: &[u8], dir: &Path) -> io::Result<Child> {
        let mut input = File::from(memfd_create("component", MemfdFlags::CLOEXEC)?);
        input.write_all(component)?;
        input.rewind()?;
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        Command::new(program)
            .args(arguments)
            .args(["--kind", kind.name(), "--memory-bytes"])
            .arg(self.memory_bytes.to_string())
            .arg("--")
            .arg(dir)
            // No secrets.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Why it failed. Memory that cannot be had ends it with an abort, and much noise.
    fn shown(&self, status: ExitStatus, text: &str) -> String {
        let bound = self.memory_bytes >> 20;
        match status.signal() {
            Some(signal) => {
                format!("its process was ended by signal {signal}; it may have {bound} MiB of memory")
            }
            None => format!("its process ended with {status}; it may have {bound} MiB of memory: {text}"),
        }
    }
}

/// Waits until the process has ended; kills it at the deadline. Returns whether it ended by itself.
fn wait(child: &mut Child, deadline: Duration) -> io::Result<bool> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    while child.try_wait()?.is_none() {
        if began.elapsed() >= deadline {
            child.kill()?;
            return Ok(false);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
    Ok(true)
}

/// Removes what a process has left half written.
fn remove_drafts(dir: &Path, id: u32) {
    let Ok(files) = fs::read_dir(dir) else { return };
    let drafts = files.flatten().map(|file| file.path());
    for draft in drafts.filter(|path| path.to_string_lossy().ends_with(&format!(".{id}.tmp"))) {
        let _ = fs::remove_file(draft);
    }
}

/// What the process does: compiles the component on standard input by the engine, and stores it in the
/// directory, with at most so much memory for data. Ends when its parent does. Returns the exit status, after
/// the reason on standard error.
#[must_use]
pub fn serve(dir: &Path, memory_bytes: u64, engine: impl FnOnce() -> wasmtime::Result<Engine>) -> u8 {
    let (status, text) = match compiled(dir, memory_bytes, engine) {
        Ok(()) => return 0,
        Err(Fault::Invalid(text)) => (INVALID, text),
        Err(Fault::NotStored) => (NOT_STORED, String::new()),
        Err(Fault::Failed(text)) => (1, text),
        Err(Fault::Start(error)) => (1, error.to_string()),
    };
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    let _ = io::stderr().write_all(text.as_bytes());
    status
}

fn compiled(
    dir: &Path,
    memory_bytes: u64,
    engine: impl FnOnce() -> wasmtime::Result<Engine>,
) -> Result<(), Fault> {
    limit(memory_bytes).map_err(Fault::Start)?;
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component).map_err(Fault::Start)?;
    let engine = engine().map_err(|error| Fault::Failed(format!("{error:#}")))?;
    let code = engine.precompile_component(&component);
    let code = code.map_err(|error| Fault::Invalid(format!("{error:#}")))?;
    Compiled::of(dir, &engine, &component).store(&code).map_err(|_| Fault::NotStored)
}

fn limit(memory_bytes: u64) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, limit(0))?;
    setrlimit(Resource::Data, limit(memory_bytes))?;
    // Nobody reads before the end: what does not fit is dropped. An allocator without memory says much.
    Ok(fcntl_setfl(io::stderr(), OFlags::NONBLOCK)?)
}
