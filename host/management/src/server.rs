//! What a server does for its operators.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use larder_common::{TenantName, event::Event};
use larder_index::{Entry, Index, IndexError, SavedBy, Upload};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::{
    scrub::{ScrubRequest, ScrubStatus},
    versions::{VersionInfo, VersionedKind, VersionsInfo},
};

/// Why something could not be done.
#[derive(Debug)]
pub enum Fault {
    /// Database or storage failed; it may be tried again. The text is for the log.
    Unavailable(String),
    /// This server does not do that, and why.
    Unsupported(String),
    /// What was brought cannot be used. The text is for its author.
    Refused(String),
    /// Something else is under way, or what is needed is not there.
    Conflict(String),
    /// It was asked for, and has not happened in time.
    Late(String),
}

impl Fault {
    /// The conflict of a change of the policy or the rules while another one is under way.
    #[must_use]
    pub fn exchange_under_way() -> Self {
        Self::Conflict("another exchange is under way".to_owned())
    }
}

impl From<IndexError> for Fault {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unsupported(why) => Self::Unsupported(why.to_owned()),
            error => Self::Unavailable(larder_common::causes::chain(&error).to_string()),
        }
    }
}

/// The error of a server that does not scrub.
fn no_scrubs() -> Fault {
    Fault::Unsupported("this server does not scrub".to_owned())
}

/// The error of a server that exchanges nothing.
fn no_exchange() -> Fault {
    Fault::Unsupported("this server exchanges nothing while it runs".to_owned())
}

/// A server.
#[async_trait]
pub trait Server: Send + Sync + 'static {
    /// The time of day, in milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// The index of the tenant `default`, which has the keys.
    fn index(&self) -> &dyn Index;

    /// The tenants, `default` first.
    fn tenants(&self) -> Vec<TenantInfo>;

    /// Returns a tenant, or `None` if there is none of this name.
    async fn tenant(&self, name: &TenantName) -> Result<Option<Arc<dyn Tenant>>, Fault>;

    /// What is known of the process.
    fn status(&self) -> ServerStatus;

    /// The effective configuration, with secrets masked.
    fn configuration(&self) -> serde_json::Value;

    /// Sweeps all tenants, and returns when that is done, or goes on without the caller.
    async fn sweep(&self) -> Result<SweepOutcome, Fault>;
}

/// What a server does for the operators of a tenant.
#[async_trait]
pub trait Tenant: Send + Sync + 'static {
    /// Its entries and uploads.
    fn index(&self) -> &dyn Index;

    /// Most bytes that it may have stored; `None`: any number.
    fn limit_bytes(&self) -> Option<u64>;

    /// Most bytes that a repository may have stored, by its id or name; `None`: any number.
    fn repository_limit_bytes(&self, _id: &str, _name: &str) -> Option<u64> {
        self.limit_bytes()
    }

    /// After how many days without use an entry is deleted; `None`: never.
    fn unused_days(&self) -> Option<u64> {
        None
    }

    /// Deletes an entry with its object, as somebody's deletion. Returns whether it was there.
    async fn delete_entry(&self, entry: &Entry) -> Result<bool, Fault>;

    /// Deletes an upload with what was sent for it. Returns whether it was there.
    async fn delete_upload(&self, upload: &Upload) -> Result<bool, Fault>;

    /// Deletes what somebody saved, holds it back, or releases it.
    async fn revoke(&self, by: &SavedBy, action: Action, dry_run: bool) -> Result<Revocation, Fault>;

    /// The rules, those in the shadow, and what has become of their questions: `active` and `shadow`,
    /// each null where there are none.
    fn rules(&self) -> serde_json::Value;

    /// Returns which version of its policy or rules is in force, which is chosen, and which were.
    fn versions(&self, _kind: VersionedKind) -> Result<VersionsInfo, Fault> {
        Err(no_exchange())
    }

    /// Puts a version in force, if it passes its check, and returns when it is. Else nothing changes. Without
    /// content: no rules.
    async fn use_version(
        &self,
        _kind: VersionedKind,
        _name: String,
        _content: Bytes,
    ) -> Result<VersionInfo, Fault> {
        Err(no_exchange())
    }

    /// Puts in force what the configuration says.
    async fn use_configured(&self, _kind: VersionedKind) -> Result<VersionInfo, Fault> {
        Err(no_exchange())
    }

    /// Puts in force what was before.
    async fn roll_back(&self, _kind: VersionedKind) -> Result<VersionInfo, Fault> {
        Err(no_exchange())
    }

    /// Begins to receive its events. Who is slow misses the earliest, and is told how many.
    fn events(&self) -> Result<broadcast::Receiver<Arc<Event>>, Fault> {
        Err(Fault::Unsupported("this server has no live events".to_owned()))
    }

    /// The last requests that failed, or were refused or denied: the latest first.
    fn failures(&self) -> Vec<Event> {
        Vec::new()
    }

    /// Starts a scrub of these repositories; none: of all. Returns `None` if one is under way.
    async fn start_scrub(
        &self,
        _asked: ScrubRequest,
        _repositories: Vec<String>,
    ) -> Result<Option<ScrubStatus>, Fault> {
        Err(no_scrubs())
    }

    /// Returns how far the scrub is, or how the last one ended.
    fn scrub_status(&self) -> Result<ScrubStatus, Fault> {
        Err(no_scrubs())
    }

    /// Asks the scrub that is under way to stop.
    fn stop_scrub(&self) -> Result<ScrubStatus, Fault> {
        Err(no_scrubs())
    }

    /// Has the policy explain a lookup.
    async fn explain(&self, query: ExplainQuery) -> Result<serde_json::Value, Fault>;
}

/// A tenant of a server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TenantInfo {
    /// Its name.
    #[schema(value_type = String)]
    pub name: String,
    /// The hosts at which it is served; none: at any that is not another one's.
    pub hosts: Vec<String>,
}

/// What is known of a process.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ServerStatus {
    /// The program's version.
    pub version: String,
    /// When it started, in milliseconds since 1970. `None` if no server is asked, but its data.
    pub started_ms: Option<u64>,
    /// The database's driver.
    pub database: String,
    /// The storage's driver.
    pub storage: String,
    /// Connections at the moment.
    pub connections: Option<u64>,
    /// Requests in flight at the moment.
    pub requests: Option<u64>,
    /// The sweeps.
    pub sweep: Option<SweepStatus>,
}

/// What is known of the sweeps of a process.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct SweepStatus {
    /// When the last full one ended well, in milliseconds since 1970.
    pub succeeded_ms: Option<u64>,
    /// When the last one failed.
    pub failed_ms: Option<u64>,
    /// Why that was.
    pub error: Option<String>,
}

/// What came of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SweepOutcome {
    /// Whether it has ended. Else it goes on.
    pub ended: bool,
    /// Whether it did all that it had to.
    pub succeeded: bool,
}

/// A lookup to be explained.
#[derive(Clone, Debug)]
pub struct ExplainQuery {
    /// The id of the repository.
    pub repository: String,
    /// The scopes that a token permits, its own first.
    pub scopes: Vec<String>,
    /// The version; `None`: that of the newest entry with the key, or of one that comes near.
    pub version: Option<String>,
    /// The key, then the restore keys.
    pub keys: Vec<String>,
}

/// What is done to what was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Entries are deleted, and uploads in progress.
    Delete,
    /// Entries are not restored any more, and keep their keys. Uploads in progress are deleted.
    Quarantine,
    /// Entries in quarantine are restored again.
    Release,
}

/// What was revoked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Revocation {
    /// What was done.
    pub action: Action,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The entries, in the order in which they were made.
    pub entries: Vec<RevokedEntry>,
    /// How many uploads were in progress.
    pub uploads: u64,
    /// How many entries of the time and place in question do not say who saved them.
    pub unknown: u64,
}

/// An entry that was revoked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedEntry {
    /// Its number.
    pub id: u64,
    /// Its repository, as in tokens.
    pub repository: String,
    /// Its scope.
    pub scope: String,
    /// Its version.
    pub version: String,
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// How often it was used, as far as that was counted.
    pub uses: Option<u64>,
    /// Whether it was in quarantine before.
    pub quarantined: bool,
}
