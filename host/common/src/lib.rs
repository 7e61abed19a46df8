//! Shared by the host's crates: the clock, proxies for outgoing requests, error chains, names of
//! tenants, facts about who saved something, events, and what tells that a file has changed.
//!
//! Only code that two of the crates need, and that depends on neither, belongs here.

pub mod causes;
pub mod clock;
pub mod event;
pub mod facts;
mod file_stamp;
mod proxies;
mod tenant;

pub use file_stamp::FileStamp;
pub use proxies::Proxies;
pub use tenant::{InvalidTenantName, TenantName};
