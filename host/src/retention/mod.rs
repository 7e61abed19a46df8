//! Retention: last-used times, names of repositories, durability, and the data that a sweep or an
//! eviction passes to the guest. Knows none of them.

mod digests;
pub(crate) mod durability;
mod repository_names;
mod review;
mod room;
mod seen_by_rules;
mod usage;

pub(crate) use digests::NewDigests;
pub(crate) use durability::DurabilityTracker;
pub(crate) use repository_names::RepositoryNames;
pub(crate) use review::{Candidate, ContentState, Roots, Selection, Verdict, Wish};
pub(crate) use room::{RoomBound, RoomNeeded, Tier};
pub(crate) use seen_by_rules::{is_past_lifetime, seen_by_rules};
pub(crate) use usage::UsageTracker;
