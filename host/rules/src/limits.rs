//! What rules may use.

use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// What one call of rules may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of an instance, in bytes.
    pub memory_bytes: usize,
    /// CPU time of a question that a request waits for. The start of an instance has as much again.
    pub request: Duration,
    /// CPU time of a question about a page of entries.
    pub page: Duration,
    /// Bytes that the answer of a question of a request takes in the host: it allocates them before
    /// it can check them.
    pub answer_bytes: usize,
    /// The same of a question about a page.
    pub page_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 * MIB,
            request: Duration::from_millis(20),
            page: Duration::from_secs(1),
            answer_bytes: MIB,
            page_answer_bytes: 2 * MIB,
        }
    }
}
