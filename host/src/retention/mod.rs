//! What is kept, and for how long: the data that the sweep shows the guest. Plain: knows neither the sweep nor the guest.

mod review;

pub use review::{Candidate, ContentState, Witnesses};
