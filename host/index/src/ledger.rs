//! How much there is: what may be in the storage, as the database counts it.
//!
//! Counted are the sizes of entries, what uploads have reserved, what no row refers to any more but
//! may still be stored ([`Leaving`]), and orphans that a sweep has found. The sums are kept for each
//! [`Area`], in the same transactions as the rows. So they are at no moment below what is stored, as
//! long as room is reserved before bytes are written and what has left is reported after it is gone;
//! and they are exact while nothing is under way. A crash does not change that.

use std::collections::{BTreeMap, BTreeSet};

use larder_storage::{ObjectName, UploadName};

use crate::departed::clipped;

/// The name of the property that says whether the sums have been made.
pub(crate) const USAGE_PROPERTY: &str = "usage";

/// Its value before.
pub(crate) const UNCOUNTED: &str = "uncounted";

/// Its value after.
pub(crate) const COUNTED: &str = "counted";

/// What is counted together, from the narrowest to the widest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Area {
    /// A scope of a repository of the tenant. Texts of more than 255 bytes are listed as their first 200
    /// and their SHA-256.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeavingId {
    /// Of an upload, or of a replaced object.
    Row(u64),
    /// The object of an entry that was deleted.
    Departed(ObjectName),
}

/// What a sum is of. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Scope = 0,
    Repository = 1,
    Tenant = 2,
    Server = 3,
}

impl Level {
    /// The sums that a change of a tenant's bytes changes. In this order: the one that most changes have
    /// in common is locked last, and no two changes wait for each other.
    pub(crate) fn of_tenant(is_apart: bool) -> &'static [Self] {
        const ALL: &[Level] = &[Level::Scope, Level::Repository, Level::Tenant, Level::Server];
        if is_apart { &ALL[..3] } else { ALL }
    }

    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    pub(crate) fn bound(self) -> Bound {
        match self {
            Self::Scope => Bound::Scope,
            Self::Repository => Bound::Repository,
            Self::Tenant => Bound::Tenant,
            Self::Server => Bound::Server,
        }
    }
}

/// A repository and a scope, as stored. Empty where the sum is of more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) repository: Vec<u8>,
    pub(crate) scope: Vec<u8>,
}

impl Place {
    /// Shortens the texts of a row.
    pub(crate) fn clipped(repository: &[u8], scope: &[u8]) -> Self {
        Self { repository: clipped(repository).into_owned(), scope: clipped(scope).into_owned() }
    }

    /// Returns where the sum of an area is stored.
    pub(crate) fn of(area: &Area) -> (Level, Self) {
        match area {
            Area::Scope { repository, scope } => {
                (Level::Scope, Self::clipped(repository.as_bytes(), scope.as_bytes()))
            }
            Area::Repository(repository) => (Level::Repository, Self::clipped(repository.as_bytes(), b"")),
            Area::Tenant => (Level::Tenant, Self::default()),
            Area::Server => (Level::Server, Self::default()),
        }
    }

    /// Returns repository and scope of the sum at a level.
    pub(crate) fn at(&self, level: Level) -> (&[u8], &[u8]) {
        match level {
            Level::Scope => (&self.repository, &self.scope),
            Level::Repository => (&self.repository, &[]),
            Level::Tenant | Level::Server => (&[], &[]),
        }
    }
}

/// How a sum changes. They are ordered as sums are locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SumChange {
    pub(crate) level: i64,
    /// Empty for the server's.
    pub(crate) tenant: Vec<u8>,
    pub(crate) place: Place,
    /// What is to be added. May be negative.
    pub(crate) bytes: i64,
}

/// Some sums of a database: as they are stored, as they should be, or by how much they change.
#[derive(Default)]
pub(crate) struct Sums {
    sums: BTreeMap<(i64, Vec<u8>, Place), i64>,
    apart: BTreeSet<Vec<u8>>,
}

impl Sums {
    /// Sums of one tenant.
    #[cfg(feature = "sql")]
    pub(crate) fn of_tenant(tenant: &[u8], is_apart: bool) -> Self {
        let mut sums = Self::default();
        sums.set_apart(tenant, is_apart);
        sums
    }

    fn set_apart(&mut self, tenant: &[u8], is_apart: bool) {
        if is_apart {
            self.apart.insert(tenant.to_vec());
        }
    }

    /// Adds a tenant with its orphans. Tenants come before their rows.
    pub(crate) fn add_tenant(&mut self, tenant: &[u8], orphan_bytes: u64, is_apart: bool) {
        self.set_apart(tenant, is_apart);
        self.add_from(Level::Tenant, tenant, &Place::default(), signed(orphan_bytes));
    }

    /// Adds the bytes of a row.
    pub(crate) fn add(&mut self, tenant: &[u8], place: &Place, bytes: i64) {
        self.add_from(Level::Scope, tenant, place, bytes);
    }

    /// Adds bytes at this level and at those above it.
    pub(crate) fn add_from(&mut self, lowest: Level, tenant: &[u8], place: &Place, bytes: i64) {
        for level in Level::of_tenant(self.apart.contains(tenant)) {
            if *level >= lowest {
                self.add_at(*level, tenant, place, bytes);
            }
        }
    }

    /// Adds bytes at this level only.
    pub(crate) fn add_at(&mut self, level: Level, tenant: &[u8], place: &Place, bytes: i64) {
        let (repository, scope) = place.at(level);
        let place = Place { repository: repository.to_vec(), scope: scope.to_vec() };
        let tenant = if level == Level::Server { Vec::new() } else { tenant.to_vec() };
        let sum = self.sums.entry((level.number(), tenant, place)).or_default();
        *sum = sum.saturating_add(bytes);
    }

    /// Sets a sum as it is stored.
    pub(crate) fn set(&mut self, level: i64, tenant: Vec<u8>, place: Place, bytes: i64) {
        self.sums.insert((level, tenant, place), bytes);
    }

    /// Returns the sums as changes.
    pub(crate) fn changes(self) -> Vec<SumChange> {
        let change = |((level, tenant, place), bytes)| SumChange { level, tenant, place, bytes };
        self.sums.into_iter().map(change).filter(|change| change.bytes != 0).collect()
    }

    /// Returns how `stored` has to change to become these.
    pub(crate) fn differences(mut self, stored: Self) -> Vec<SumChange> {
        for (key, bytes) in stored.sums {
            let sum = self.sums.entry(key).or_default();
            *sum = sum.saturating_sub(bytes);
        }
        self.changes()
    }
}

/// Returns a number of bytes as it is stored, at most `i64::MAX`.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
