//! What an instance of rules has in the host: its limits, and what it wrote to its standard error.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use crate::{limits::Limits, script::Script};

/// Most bytes that are kept of what an instance writes.
pub(crate) const MAX_STDERR: usize = 4096;

/// Most elements of a table. QuickJS has 3,000.
const TABLE_ELEMENTS: usize = 100_000;

/// The data of a store.
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) cpu: Cpu,
    pub(crate) stderr: Vec<u8>,
    /// Why a script is about to end, in its own words.
    pub(crate) reported: Option<String>,
    /// What its loader of modules gives to QuickJS.
    pub(crate) script: Option<Script>,
}

impl State {
    /// Makes a store whose limits hold.
    pub(crate) fn store(engine: &Engine, limits: &Limits, script: Option<&Script>) -> Store<Self> {
        let state = Self {
            memory: Memory { limit: limits.memory_bytes, used: 0, was_denied: false },
            cpu: Cpu::default(),
            stderr: Vec::new(),
            reported: None,
            script: script.cloned(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().cpu.tick());
        store
    }

    /// Keeps the first [`MAX_STDERR`] bytes of why a script ends.
    pub(crate) fn report(&mut self, mut text: String) {
        text.truncate(text.floor_char_boundary(MAX_STDERR));
        self.reported = Some(text);
    }

    /// Keeps what is written to standard error or output, up to [`MAX_STDERR`].
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let left = MAX_STDERR.saturating_sub(self.stderr.len());
        self.stderr.extend_from_slice(&bytes[..left.min(bytes.len())]);
    }
}

/// The linear memory of a store, all memories together.
pub(crate) struct Memory {
    limit: usize,
    pub(crate) used: usize,
    pub(crate) was_denied: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired - current);
        if used > self.limit {
            self.was_denied = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        8
    }
}

/// The CPU time of a call. It is counted and not the time that passes, so that a busy machine makes no
/// rules fail; from the first tick after the call began, so that a short one asks no clock.
#[derive(Default)]
pub(crate) struct Cpu {
    limit: Duration,
    began: Option<Duration>,
    pub(crate) was_exceeded: bool,
}

impl Cpu {
    /// Starts a call that may take `limit`.
    pub(crate) fn begin(limit: Duration) -> Self {
        Self { limit, began: None, was_exceeded: false }
    }

    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_cpu();
        let began = *self.began.get_or_insert(now);
        if now.saturating_sub(began) < self.limit {
            return Ok(UpdateDeadline::Continue(1));
        }
        self.was_exceeded = true;
        Err(wasmtime::format_err!("more than {} ms of CPU time", self.limit.as_millis()))
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
