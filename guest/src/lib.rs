//! Larder's policy as a library: what a request means, what matches, what is stale, what is swept or
//! evicted.
//!
//! A policy is a type that implements [`Policy`]: what it does not override is Larder's own
//! ([`DefaultPolicy`]). [`export!`] makes the component of it that a server runs. A protocol of one's own
//! is built on [`Session`].
//!
//! ```
//! use larder_policy::{Host, Policy, Request, Response};
//!
//! /// Answers `/hello` itself, and leaves the rest to Larder.
//! #[derive(Default)]
//! struct Hello;
//!
//! impl Policy for Hello {
//!     async fn handle<H: Host>(&self, host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
//!         if request.path == "/hello" {
//!             return Response::bytes(200, "text/plain", b"hello\n".to_vec());
//!         }
//!         larder_policy::handle(self, host, request).await
//!     }
//! }
//!
//! larder_policy::export!(Hello);
//! ```
//!
//! Built natively, all of this is plain functions over [`ports::Host`], which tests use. Along the path of a
//! request: `route` finds the route, `handler` calls `twirp` and `v1` for the cache service (both on
//! `service`), `blob` for transfers, and `forward` for everything else. Must not depend on a storage
//! driver, a database, a secret or a token: it sees handles and claims.

pub mod allocator;
/// The component's side of the world. For [`export!`] alone.
#[doc(hidden)]
pub mod bindings;
pub mod explain;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod ports;
pub mod retention;
pub mod room;

mod blob;
mod buildkit;
mod cleanup;
mod forward;
mod handler;
mod matching;
mod nearness;
mod pages;
mod policy;
mod query;
mod route;
mod service;
mod session;
mod stale;
mod trust;
mod twirp;
mod url;
mod v1;
mod writer;

pub use forward::forward;
pub use handler::{handle, is_repeatable};
pub use policy::{DefaultPolicy, Policy};
pub use ports::{Host, Request, Response};
pub use service::{Code, Error};
pub use session::{Access, Session};
