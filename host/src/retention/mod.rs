//! Retention: last-used times, durability, and the data that a sweep passes to the guest. Knows
//! neither the sweep nor the guest.

pub(crate) mod durability;
mod review;
mod usage;

pub(crate) use durability::DurabilityTracker;
pub(crate) use review::{Candidate, ContentState, Roots};
pub(crate) use usage::UsageTracker;
