//! From the configuration to the parts of a server, a file for each. Only [`crate::builder`] and
//! [`crate::beside`] call it; the order of things is there.

mod beside;
pub(crate) mod claim;
mod database;
mod listener_tls;
mod metrics;
mod otlp;
mod outgoing;
mod policy;
mod rules;
mod server;
mod storage;
mod tenant;
mod tenants;

use std::path::PathBuf;

use crate::config::{Secret, Settings};

pub use self::policy::BUILT_IN_POLICY;
pub(crate) use self::{
    beside::{beside, make_if_missing, replayed, rules_beside},
    listener_tls::{management_tls, server_tls},
    metrics::Observed,
    otlp::otlp,
    policy::{ProvenPolicy, StartingPolicy},
    rules::{StartingRules, follow_shadow},
    server::{server, wanted},
    storage::claim_storage,
    tenant::{Shared, schedule, tenant},
    tenants::{Tenants, tenants},
};

const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A path that `config` has resolved.
fn path_of(path: Option<&PathBuf>) -> PathBuf {
    path.cloned().unwrap_or_default()
}

/// A secret in plain text, for the part that needs it.
fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

/// How old an object without an entry must be before it is an orphan.
fn orphan_grace_ms(settings: &Settings) -> u64 {
    settings.retention.orphan_grace_hours.saturating_mul(HOUR_MS)
}

/// A number of which 0 means none.
fn some(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number > 0)
}
