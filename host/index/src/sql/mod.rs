//! The index in a database server, for several replicas at once: PostgreSQL, or MySQL and MariaDB.
//!
//! Here is what both drivers share: the thread with the connections (`client.rs`, `pool.rs`), what is tried again and what
//! is not (`fault.rs`), how texts become columns and back (`digest.rs`, `rows.rs`), and how the tables come to be
//! (`schema.rs`). Each driver has its statements. The only place that names the database library.
//!
//! The client's texts are stored as bytes, so that they are compared as such, whatever the server's collation. They may be
//! longer than an index takes; there SHA-256 stands for them.

mod asked;
mod client;
mod digest;
mod driver;
mod fault;
#[cfg(feature = "mysql")]
pub mod mysql;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
mod refold;
mod rows;
mod schema;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Bounds, ServerSettings, SslMode};
