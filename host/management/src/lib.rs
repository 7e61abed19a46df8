//! The management API of a cache server.
//!
//! One set of functions (`entries`) behind three surfaces: that of the known server
//! (`/management-api`, `falcon`), GitHub's (`/repos/…`, `/api/v3/repos/…`, `github`), and this
//! server's own (`/api/v1`, `v1`), which OpenAPI describes. What a server must do for it is in
//! [`Server`] and [`Tenant`].
//!
//! Every route but the description needs a key (`access`). A key has a role, and is for one tenant or for all.

mod access;
mod app;
mod audit;
mod entries;
mod falcon;
mod falcon_rpc;
mod github;
mod listener;
mod page;
mod params;
mod places;
mod problem;
mod scrub;
mod server;
mod v1;
mod versions;

pub use self::{
    access::{KEY_PREFIX, MasterKey, NewKey},
    app::{Origin, is_management_path, router},
    listener::serve,
    scrub::{BadEntry, ScrubRequest, ScrubStatus},
    server::{
        Action, ExplainQuery, Fault, Revocation, RevokedEntry, Server, ServerStatus, SweepOutcome,
        SweepStatus, Tenant, TenantInfo,
    },
    v1::openapi,
    versions::{VersionInfo, VersionedKind, VersionsInfo},
};
