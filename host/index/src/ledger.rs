//! How much there is: what may be in the storage, as the database counts it.
//!
//! Counted are the sizes of entries, what uploads have reserved, what no row refers to any more but
//! may still be stored ([`Leaving`]), and orphans that a sweep has found. The sums are kept for each
//! [`Area`], in the same transactions as the rows. So they are at no moment below what is stored, as
//! long as room is reserved before bytes are written and what has left is reported after it is gone;
//! and they are exact while nothing is under way. A crash does not change that.

use larder_storage::{ObjectName, UploadName};

/// What is counted together, from the narrowest to the widest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Area {
    /// A scope of a repository of the tenant.
    Scope {
        /// The repository.
        repository: String,
        /// The scope.
        scope: String,
    },
    /// A repository of the tenant.
    Repository(String),
    /// All of the tenant, with its orphans.
    Tenant,
    /// All tenants that are not counted apart ([`Index::set_counted_apart`](crate::Index::set_counted_apart)).
    Server,
}

/// The kind of an [`Area`] that has a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// The upload's scope.
    Scope,
    /// The upload's repository.
    Repository,
    /// The tenant.
    Tenant,
    /// The server.
    Server,
}

/// The most bytes that may be counted in each area of an upload. `None`: any number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// In the upload's scope.
    pub scope: Option<u64>,
    /// In the upload's repository.
    pub repository: Option<u64>,
    /// In the tenant.
    pub tenant: Option<u64>,
    /// In the server. Ignored for a tenant that is counted apart.
    pub server: Option<u64>,
}

impl Caps {
    /// Returns the cap of an area.
    #[must_use]
    pub fn of(&self, bound: Bound) -> Option<u64> {
        match bound {
            Bound::Scope => self.scope,
            Bound::Repository => self.repository,
            Bound::Tenant => self.tenant,
            Bound::Server => self.server,
        }
    }
}

/// The outcome of [`Index::reserve_room`](crate::Index::reserve_room).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The bytes are counted now.
    Reserved,
    /// They do not fit, and nothing changed.
    Short {
        /// The narrowest area in which they do not.
        bound: Bound,
        /// How many bytes have to leave it.
        bytes: u64,
    },
    /// The upload does not exist.
    Gone,
}

/// Something that no entry and no upload refers to, but that may still be stored. It is counted until
/// [`Index::left_uploads`](crate::Index::left_uploads) or
/// [`Index::left_objects`](crate::Index::left_objects) reports that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Its place in the order of [`Index::list_leaving`](crate::Index::list_leaving).
    pub id: LeavingId,
    /// What it is.
    pub what: Remains,
    /// What is counted for it.
    pub bytes: u64,
}

/// What may still be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    /// All of an upload that is gone, or that became an entry.
    Upload {
        /// Its name.
        name: UploadName,
        /// The object of the entry that it became, which stays.
        kept: Option<ObjectName>,
    },
    /// An object: of an entry that was deleted, or one that another has replaced in its upload.
    Object(ObjectName),
}

/// Identifies a [`Leaving`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeavingId {
    /// Of an upload, or of a replaced object.
    Row(u64),
    /// Of an entry that was deleted.
    Departed(u64),
}
