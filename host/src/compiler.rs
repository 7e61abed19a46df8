//! Compiling in a process of its own: for a program that gives a command of its own to [`run`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use larder::compiler::{CompilerProgram, set_program};
//!
//! // This very program, with a command that ends in `run`.
//! set_program(Some(CompilerProgram {
//!     command: vec!["/proc/self/exe".into(), "compile".into()],
//!     memory_bytes: 1 << 30,
//!     deadline: Duration::from_secs(300),
//! }));
//! ```

use std::path::Path;

pub use larder_rules::compiled::{CompilerProgram, Kind, set_program};

/// What the process does: compiles the component on standard input into the directory, with at most so much
/// memory for data, in bytes. Returns the exit status; the reason is on standard error.
#[must_use]
pub fn run(kind: Kind, memory_bytes: u64, dir: &Path) -> u8 {
    larder_rules::compiled::serve(dir, memory_bytes, || match kind {
        Kind::Policy => crate::engine::compiling_engine(),
        Kind::Rules => larder_rules::compiling_engine(),
    })
}
