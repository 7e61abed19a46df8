//! The section `metrics`: what is counted.

use serde::{Deserialize, Serialize};

use super::sections::choice;

/// What is counted for operators.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Whether anything is.
    pub enabled: bool,
    /// Under whose names, besides this server's own.
    pub compat: MetricNames,
    /// Most repositories with a name of their own in a label; all others are `_other`.
    pub repositories: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true, compat: MetricNames::None, repositories: 200 }
    }
}

/// Names of metrics besides this server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricNames {
    /// No others.
    None,
    /// Those of the known server, for its dashboards.
    Falcon,
}

choice!(MetricNames, "none or falcon", ["none" => Self::None, "falcon" => Self::Falcon]);
