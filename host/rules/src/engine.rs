//! The engine of the rules. Its own, because its clock ticks finer than that of the policy component,
//! and only while rules are loaded.

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use wasmtime::{Config, Engine};

use crate::failure::RulesError;

/// How often rules that compute are interrupted, to look how long they have. It takes 0.4 % of a core.
const TICK: Duration = Duration::from_millis(5);
/// Frames of an error's backtrace.
const FRAMES: usize = 16;

/// The engine of the process, while there are rules.
static CURRENT: Mutex<Weak<RulesEngine>> = Mutex::new(Weak::new());

/// An engine, and its thread that ticks until this is dropped. Everything that runs in the engine
/// holds this.
pub(crate) struct RulesEngine {
    pub(crate) engine: Engine,
    stop: Arc<AtomicBool>,
}

impl RulesEngine {
    /// Returns the engine of the process, and starts one if there is none.
    pub(crate) fn shared() -> Result<Arc<Self>, RulesError> {
        let mut current = CURRENT.lock();
        if let Some(engine) = current.upgrade() {
            return Ok(engine);
        }
        let started = Arc::new(Self::start().map_err(RulesError::Engine)?);
        *current = Arc::downgrade(&started);
        Ok(started)
    }

    fn start() -> io::Result<Self> {
        let engine = compiling_engine().map_err(io::Error::other)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ticked, stopped) = (engine.weak(), stop.clone());
        thread::Builder::new().name("larder-rules".into()).stack_size(64 * 1024).spawn(move || {
            while !stopped.load(Relaxed) {
                thread::sleep(TICK);
                let Some(engine) = ticked.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { engine, stop })
    }
}

/// Makes an engine whose clock stands still: what it compiles runs in any of its settings.
///
/// # Errors
/// When the machine cannot run wasm.
pub fn compiling_engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    // Without fibers: a host function of the policy component asks rules from within one.
    config.wasm_component_model_async(false);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(FRAMES));
    Engine::new(&config)
}

impl Drop for RulesEngine {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}
