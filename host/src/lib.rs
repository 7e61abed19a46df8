//! Larder: a self-hosted GitHub Actions cache server.
//!
//! A native host runs a WebAssembly component, the *guest*. The guest is the policy: it routes
//! requests, matches keys, and selects stale and expired entries. The host implements HTTP,
//! storage, database and tokens, and moves the bytes. See `ARCHITECTURE.md`.
//!
//! # Embedding
//!
//! A server is put together by [`Larder::builder`] from a [`Config`](config::Config), which has a
//! default for everything, and from the parts that the caller brings: a [`storage::Storage`], an
//! [`index::Index`], a policy component, a listening socket.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use larder::{
//!     Larder,
//!     config::Config,
//!     storage::fs::{FsStorage, budget::Budget},
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // As if these were in the environment of the program `larder`.
//! let settings = [("LARDER_DATA", "/var/lib/cache"), ("LARDER_LISTEN", "127.0.0.1:3000")];
//! let config = Config::load(None, settings.map(|(name, value)| (name.into(), value.into())))?;
//!
//! // Any `Storage` will do: this one uses up to 32 MiB of memory for transfers.
//! let objects = FsStorage::open("/srv/objects".into(), Budget::new(32 << 20))?;
//!
//! let larder = Larder::builder(config).storage(Arc::new(objects)).build().await?;
//! if let Some(address) = larder.address() {
//!     println!("ACTIONS_RESULTS_URL=http://{address}/");
//! }
//!
//! // Requests in flight finish; what is in memory is persisted.
//! larder.stop();
//! # Ok(())
//! # }
//! ```
//!
//! ## In a server of your own
//!
//! [`Larder::service`] is a [`tower_service::Service`] for every path that your program does not
//! know itself. `examples/embed` is a whole program.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use larder::{Access, Authenticator, Larder, Scope, TokenError, config::Config, facts::Facts};
//!
//! /// Your tokens, in place of signed ones.
//! struct Jobs;
//!
//! #[async_trait::async_trait]
//! impl Authenticator for Jobs {
//!     async fn authenticate(&self, token: &str) -> Result<Access, TokenError> {
//!         let branch = Scope { name: "refs/heads/main".to_owned(), read: true, write: true };
//!         match token {
//!             "job-7" => Ok(Access {
//!                 repository: "42".to_owned(),
//!                 scopes: vec![branch],
//!                 expires_ms: u64::MAX,
//!                 // Stored with what the job saves.
//!                 facts: Facts::try_from(&[("run_id", "7")][..]).unwrap_or_default(),
//!             }),
//!             _ => Err(TokenError::BadSignature),
//!         }
//!     }
//! }
//!
//! # async fn example(config: Config) -> Result<(), Box<dyn std::error::Error>> {
//! let larder = Larder::builder(config)
//!     .authenticator(Arc::new(Jobs))
//!     .without_listener()
//!     .build()
//!     .await?;
//! // With axum: `Router::new().route(…).fallback_service(larder.service())`.
//! let service = larder.service();
//! # let _ = service;
//! # Ok(())
//! # }
//! ```
//!
//! # Versions
//!
//! Everything that this page names follows semantic versioning from 1.0 on; until then a minor
//! version may change it, and CHANGELOG.md says so. Text of errors and logs, the schema of a
//! database and the layout of a directory are not part of it: they are carried over by the next
//! version, not by yours.
//!
//! # Features
//!
//! `cli` (the program), `jemalloc` (its allocator), and the drivers `s3`, `gcs`, `azblob`,
//! `postgres` and `mysql`. A program with a storage of its own wants none of them: SQLite and the
//! directory are always there.
//!
//! # The path of a request
//!
//! `server` reads it from the socket, `engine` passes it to the guest, `interfaces` implements the
//! guest's imports with [`storage`], [`index`], `auth` and `net`, and `message` has the requests and
//! responses. Beside it: `sweep` runs by the clock, and `pressure` where a disk is full; `retention`
//! tracks last uses and durability, and has what a sweep shows the guest. `setup` makes the parts
//! of a configuration, `exchange` replaces the policy of a running server by another of its [`versions`], `tenant` is what one tenant has, `registry` which others there are, and `descriptors` divides the process's
//! open files up.

mod auth;
mod beside;
mod builder;
mod capacity;
pub mod compiler;
pub mod config;
mod descriptors;
mod disk_pressure;
mod ending;
mod engine;
mod error;
mod exchange;
pub mod explain;
mod gauges;
mod history;
pub mod inspect;
mod interfaces;
pub mod lab;
mod larder;
mod log_throttle;
mod management;
mod message;
mod net;
pub mod policy_check;
mod registry;
mod retention;
pub mod revoke;
pub mod rules_check;
mod scrub;
mod server;
mod setup;
mod sweep;
pub mod telemetry;
mod tenant;
#[cfg(test)]
mod testing;
mod trace;
pub mod versions;
mod webhook;

pub use larder_common::{InvalidTenantName, TenantName, clock, facts};
pub use larder_index as index;
pub use larder_metrics as metrics;
pub use larder_rules as rules;
pub use larder_storage as storage;
pub use larder_tls::TlsFault;

pub use self::{
    auth::{Access, AuthSetupError, Authenticator, SKIP_WARNING, Scope, TokenError},
    beside::{Beside, ExplainError},
    builder::Builder,
    descriptors::{Shares, TooFew},
    engine::LoadError,
    error::StartError,
    exchange::ExchangeError,
    larder::{Larder, ServedCertificate},
    management::LocalManagement,
    message::QuotaUsage,
    net::TlsError,
    server::{ClientAddress, ConnectionUsage, LarderService, ResponseBody, ResponseFuture},
    setup::BUILT_IN_POLICY,
};
