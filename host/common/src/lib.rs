//! What the host's crates share: the clock, the proxies for outgoing requests, and the texts of errors.
//!
//! A thing belongs here only where two of the crates need it and it knows of neither.

pub mod causes;
pub mod clock;
mod proxies;

pub use proxies::Proxies;
