//! What is kept, and for how long: last-used times, durability, and the data that the sweep shows the guest. Knows neither the
//! sweep nor the guest.

mod durability;
mod review;
mod usage;

pub use durability::{DurabilityTracker, Pass};
pub use review::{Candidate, ContentState, Witnesses};
pub use usage::UsageTracker;
