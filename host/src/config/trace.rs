//! The section `trace`: what became of each request, in files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, check::Check, optional};

/// The section `[trace]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// The directory of the files, `NAME.jsonl` for each tenant; unset: there is no trace.
    #[serde(with = "optional")]
    pub dir: Option<PathBuf>,
    /// How large a file becomes before the next one begins.
    pub max_bytes: u64,
    /// How many full files of each tenant are kept.
    pub files: u32,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self { dir: None, max_bytes: 64 << 20, files: 8 }
    }
}

impl Check<'_> {
    pub(super) fn trace(&self, trace: &TraceConfig) -> Result<(), ConfigError> {
        self.ranges(&[
            ("trace.max_bytes", trace.max_bytes, 64 << 10, 1 << 40),
            ("trace.files", u64::from(trace.files), 0, 1000),
        ])
    }
}
