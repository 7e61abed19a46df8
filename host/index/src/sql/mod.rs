//! The index in a database server, for several replicas: PostgreSQL, or MySQL and MariaDB.
//!
//! This module has what both drivers share: the thread with the connections (`client.rs`,
//! `pool.rs`), the rules for retries (`fault.rs`), conversions to columns and back (`digest.rs`,
//! `rows.rs`), and migrations (`schema.rs`). Each driver has its own statements.
//!
//! Texts of clients are stored as bytes, so that the server's collation does not matter. They may
//! be longer than a database index allows, so indexes use their SHA-256 digests.

mod catalogue;
mod client;
mod departed;
mod digest;
mod driver;
mod execute;
mod facts;
mod fault;
mod history;
mod index;
mod ledger;
#[cfg(feature = "mysql")]
pub mod mysql;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
mod refold;
mod refusals;
mod request;
mod rows;
mod schema;
mod settings;
mod statements;
mod tenant;
#[cfg(test)]
mod tests;
mod within;

pub use settings::{ClientLimits, ConnectionSettings, OtherRule, SslMode};
