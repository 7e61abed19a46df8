//! Shared by the host's crates: the clock, proxies for outgoing requests, and error chains.
//!
//! Only code that two of the crates need, and that depends on neither, belongs here.

pub mod causes;
pub mod clock;
mod proxies;

pub use proxies::Proxies;
