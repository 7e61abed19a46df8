//! The log: its destination and form, and the request that a line is about. Depends on no other
//! module of the host.

mod fields;
mod format;
mod logs;
mod request;

pub use logs::{LogFormat, LogGuard, start_logging, start_logging_to};
pub(crate) use request::{InRequest, Outcome, RequestScope};
