//! The file descriptors of this process, and how they are divided up.
//!
//! When they run out, whatever needs the next one fails: a look-up, a flush, the database. So each
//! part has a share. When a share is used up, that part refuses work, and the others go on.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Always open: standard streams, lock, listener, hand-over socket, the database's files, the log;
/// and files that are open for a moment only, such as directories while they are flushed.
const RESERVED: u64 = 48;
/// A thread's runtime (poller, waker, signals), and its idle connections to the upstream.
const PER_THREAD: u64 = 8;
/// Of a request in flight: the object that it reads or writes, and a connection to the upstream or
/// a bucket.
pub(crate) const PER_REQUEST: u64 = 2;
/// Most connections at once that are being refused: each is open until its client has read the 503.
pub(crate) const MAX_REFUSALS: usize = 16;
/// Most listeners of tenants at once.
pub(crate) const MAX_TENANT_LISTENERS: usize = 128;
/// Most storages of tenants' own at once.
pub(crate) const MAX_OWN_STORAGES: usize = 32;
/// Of each of them that is a folder: its directories and lock, and files of uploads that are kept open.
const PER_OWN_STORAGE: usize = 8;
/// Most evicted connections that have not ended yet.
const MAX_LEAVING: u64 = 64;
/// What tenants may have of their own.
const OF_TENANTS: usize = MAX_TENANT_LISTENERS + PER_OWN_STORAGE * MAX_OWN_STORAGES;
/// Fewest connections and requests with which a server makes sense.
const LEAST: u64 = 16;
/// Most requests at once. More would only wait for each other.
const MAX_REQUESTS: u64 = 4096;
/// The limit where the system has none.
const UNLIMITED: u64 = 1 << 20;

/// The descriptors that the configuration asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Most connections of clients at once.
    pub connections: usize,
    /// Whether there may be fewer if they do not fit.
    pub may_be_fewer: bool,
    /// Worker threads.
    pub threads: usize,
    /// Most connections to a database server; 0 if the database is a file.
    pub database: usize,
    /// Whether there are several tenants, which may have listeners and storages of their own.
    pub has_tenants: bool,
}

/// How the descriptors are divided up. The sum is at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The process's limit of open files.
    pub limit: u64,
    /// Most connections of clients.
    pub connections: usize,
    /// Most evicted connections that have not ended yet.
    pub leaving: usize,
    /// Most requests in flight, each with up to `PER_REQUEST` descriptors.
    pub requests: usize,
    /// Connections to a database server.
    pub database: usize,
    /// Everything else.
    pub reserved: u64,
}

/// The configuration needs more descriptors than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and the configuration needs {needed}: raise the limit (`ulimit -Hn`, LimitNOFILE=), or lower server.max_connections (LARDER_MAX_CONNECTIONS), server.threads or database.max_connections"
)]
pub struct TooFew {
    /// The process's limit of open files.
    pub limit: u64,
    /// Fewest that the configuration works with.
    pub needed: u64,
}

/// Raises the limit of this process as far as it may (`RLIMIT_NOFILE`, soft to hard) and returns
/// it.
pub(crate) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(UNLIMITED);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: limit.maximum });
    match raised {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current.unwrap_or(UNLIMITED)
        }
    }
}

impl Shares {
    /// Divides `limit` descriptors up.
    ///
    /// # Errors
    /// When they are too few for what is wanted.
    pub fn divide(limit: u64, wanted: Wanted) -> Result<Self, TooFew> {
        let of_tenants = if wanted.has_tenants { OF_TENANTS as u64 } else { 0 };
        let reserved = RESERVED + MAX_REFUSALS as u64 + PER_THREAD * wanted.threads as u64 + of_tenants;
        let fixed = reserved + wanted.database as u64;
        let asked = wanted.connections as u64;
        let least = if wanted.may_be_fewer { asked.min(LEAST) } else { asked };
        let needed = fixed + least + leaving(least) + PER_REQUEST * LEAST;
        let left = limit.checked_sub(fixed).filter(|_| needed <= limit).ok_or(TooFew { limit, needed })?;
        let connections = if wanted.may_be_fewer { asked.min(left / 2) } else { asked };
        let leaving = leaving(connections);
        let requests = ((left - connections - leaving) / PER_REQUEST).min(MAX_REQUESTS);
        Ok(Self {
            limit,
            connections: to_usize(connections),
            leaving: to_usize(leaving),
            requests: to_usize(requests),
            database: wanted.database,
            reserved,
        })
    }
}

/// Returns how many evicted connections may be open besides this many connections.
fn leaving(connections: u64) -> u64 {
    (connections / 8).clamp(1, MAX_LEAVING)
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
