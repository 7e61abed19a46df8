//! Retention: last-used times, names of repositories, durability, and the data that a sweep passes
//! to the guest. Knows neither the sweep nor the guest.

pub(crate) mod durability;
mod repository_names;
mod review;
mod usage;

pub(crate) use durability::DurabilityTracker;
pub(crate) use repository_names::RepositoryNames;
pub(crate) use review::{Candidate, ContentState, Roots};
pub(crate) use usage::UsageTracker;
