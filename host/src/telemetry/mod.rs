//! The log: where it goes, in what form, and which request a line is about. Called by all rooms; calls none.

mod format;
mod logs;
mod request;

pub use logs::{LogFormat, LogGuard, start_logging, start_logging_to};
pub use request::{Entered, InRequest, RequestScope};
