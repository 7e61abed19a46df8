//! Shared by the host's crates: the clock, proxies for outgoing requests, error chains, names of
//! tenants, and facts about who saved something.
//!
//! Only code that two of the crates need, and that depends on neither, belongs here.

pub mod causes;
pub mod clock;
pub mod facts;
mod proxies;
mod tenant;

pub use proxies::Proxies;
pub use tenant::{InvalidTenantName, TenantName};
