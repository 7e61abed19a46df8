//! The section `history`: what is kept of what was counted.

use serde::{Deserialize, Serialize};

/// What jobs found, restored and saved, hour by hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryConfig {
    /// Days that are kept; 0: no history.
    pub days: u64,
    /// Rows that are kept of a tenant. An hour has one for each tool and one for each workflow of a
    /// repository that was counted in it.
    pub rows: usize,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { days: 90, rows: 500_000 }
    }
}
