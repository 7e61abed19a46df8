//! Retention: last-used times, durability, and the data that a sweep passes to the guest. Knows
//! neither the sweep nor the guest.

mod durability;
mod review;
mod usage;

pub use durability::{DurabilityTracker, Pass};
pub use review::{Candidate, ContentState, Roots};
pub use usage::UsageTracker;
