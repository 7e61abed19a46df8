//! Counting bytes: the statements that differ from server to server, and what is the same for all of
//! them. See [`crate::ledger`].

use std::collections::BTreeSet;

use larder_storage::{ObjectName, UploadName};

use super::{
    fault::Fault,
    pool::Driver,
    rows::{self, Columns},
    tenant::TenantConnection,
};
use crate::{
    Area, Caps, Leaving, LeavingId, Remains, Room,
    ledger::{Level, Place, SumChange, Sums, signed},
};

/// The statements of a driver. They do what the methods of [`Index`](crate::Index) do, on one connection, for one
/// tenant.
pub(super) trait LedgerStatements: Driver {
    async fn reserve_room(
        db: &mut TenantConnection<'_, Self::Connection>,
        name: &UploadName,
        bytes: u64,
        caps: &Caps,
    ) -> Result<Room, Fault>;

    /// See [`left_uploads`](crate::Index::left_uploads). The names are sorted.
    async fn left_uploads(
        db: &mut TenantConnection<'_, Self::Connection>,
        names: &[UploadName],
    ) -> Result<(), Fault>;

    /// See [`left_objects`](crate::Index::left_objects). The names are sorted.
    async fn left_objects(
        db: &mut TenantConnection<'_, Self::Connection>,
        names: &[ObjectName],
    ) -> Result<(), Fault>;

    /// Returns up to `limit` rows of what is leaving, by number.
    async fn leaving(
        db: &mut TenantConnection<'_, Self::Connection>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Leaving>, Fault>;

    /// Returns up to `limit` objects of departed entries, by name.
    async fn departed_objects(
        db: &mut TenantConnection<'_, Self::Connection>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Leaving>, Fault>;

    /// Returns a sum.
    async fn usage(
        db: &mut TenantConnection<'_, Self::Connection>,
        level: Level,
        place: &Place,
    ) -> Result<u64, Fault>;

    /// Returns up to `limit` sums at a level: of one repository, or of all.
    async fn parts(
        db: &mut TenantConnection<'_, Self::Connection>,
        level: Level,
        repository: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Place, u64)>, Fault>;

    async fn set_orphans(db: &mut TenantConnection<'_, Self::Connection>, bytes: u64) -> Result<(), Fault>;

    async fn set_counted_apart(
        db: &mut TenantConnection<'_, Self::Connection>,
        apart: bool,
    ) -> Result<(), Fault>;

    /// See [`recount`](crate::Index::recount). Also records that the sums are made.
    async fn recount(connection: &mut Self::Connection) -> Result<u64, Fault>;

    /// Returns whether the sums are still to be made.
    async fn is_uncounted(connection: &mut Self::Connection) -> Result<bool, Fault>;

    /// Says that the sums have to be made again.
    async fn set_uncounted(connection: &mut Self::Connection) -> Result<(), Fault>;
}

/// Returns each name once, in order, so that concurrent batches lock rows in the same order.
pub(super) fn sorted<N: Clone + Ord>(names: &[N]) -> Vec<N> {
    names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Lists what is leaving. See [`crate::Index::list_leaving`].
pub(super) async fn list_leaving<D: LedgerStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    after: Option<&LeavingId>,
    limit: usize,
) -> Result<Vec<Leaving>, Fault> {
    let (mut listed, departed_after) = match after {
        Some(LeavingId::Departed(object)) => (Vec::new(), object.as_str()),
        Some(LeavingId::Row(id)) => (D::leaving(db, *id, limit).await?, ""),
        None => (D::leaving(db, 0, limit).await?, ""),
    };
    let left = limit.saturating_sub(listed.len());
    if left > 0 {
        listed.append(&mut D::departed_objects(db, departed_after, left).await?);
    }
    Ok(listed)
}

/// Lists the parts of an area. See [`crate::Index::list_usage`].
pub(super) async fn list_usage<D: LedgerStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    area: &Area,
    limit: usize,
) -> Result<Vec<(Area, u64)>, Fault> {
    let (_, place) = Place::of(area);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let parts = match area {
        Area::Scope { .. } | Area::Server => Vec::new(),
        Area::Repository(_) => D::parts(db, Level::Scope, Some(&place.repository), limit).await?,
        Area::Tenant => D::parts(db, Level::Repository, None, limit).await?,
    };
    let part = |(part, bytes): (Place, u64)| {
        let repository = text(&part.repository);
        let area = match area {
            Area::Tenant => Area::Repository(repository),
            _ => Area::Scope { repository, scope: text(&part.scope) },
        };
        (area, bytes)
    };
    Ok(parts.into_iter().map(part).collect())
}

/// Makes the sums of a database that has none yet.
pub(super) async fn count_if_uncounted<D: LedgerStatements>(
    connection: &mut D::Connection,
) -> Result<(), Fault> {
    if D::is_uncounted(connection).await? {
        D::recount(connection).await?;
    }
    Ok(())
}

/// Returns the changes of a reservation.
pub(super) fn additions(tenant: &[u8], is_apart: bool, place: &Place, bytes: u64) -> Vec<SumChange> {
    let mut sums = Sums::of_tenant(tenant, is_apart);
    sums.add(tenant, place, signed(bytes));
    sums.changes()
}

/// Returns the changes when these bytes have left.
pub(super) fn removals(tenant: &[u8], is_apart: bool, left: &[(Place, u64)]) -> Vec<SumChange> {
    let mut sums = Sums::of_tenant(tenant, is_apart);
    for (place, bytes) in left {
        sums.add(tenant, place, -signed(*bytes));
    }
    sums.changes()
}

/// Returns the changes of the sums that a tenant has as a whole.
pub(super) fn of_tenant(tenant: &[u8], is_apart: bool, bytes: i64) -> Vec<SumChange> {
    let mut sums = Sums::of_tenant(tenant, is_apart);
    sums.add_from(Level::Tenant, tenant, &Place::default(), bytes);
    sums.changes()
}

/// Returns the change of the server's sum.
pub(super) fn of_server(bytes: i64) -> Vec<SumChange> {
    let mut sums = Sums::default();
    sums.add_at(Level::Server, &[], &Place::default(), bytes);
    sums.changes()
}

/// Returns where a reservation does not fit, by the sums that it makes: level and bytes of each.
pub(super) fn shortage(caps: &Caps, sums: &[(i64, u64)]) -> Option<Room> {
    Level::of_tenant(false).iter().find_map(|level| {
        let (_, sum) = sums.iter().find(|(number, _)| *number == level.number())?;
        let bytes = sum.saturating_sub(caps.of(level.bound())?);
        (bytes > 0).then_some(Room::Short { bound: level.bound(), bytes })
    })
}

/// Reads repository and scope, and shortens them.
pub(super) fn place(row: &impl Columns, first: usize) -> sqlx::Result<Place> {
    Ok(Place::clipped(&rows::value(row, first)?, &rows::value(row, first + 1)?))
}

/// Reads a sum. One that is negative, because an older server's changes were not counted, is zero.
pub(super) fn sum(row: &impl Columns, column: usize) -> sqlx::Result<u64> {
    let sum = row.integer(column)?.unwrap_or(0);
    Ok(u64::try_from(sum).unwrap_or(0))
}

/// Reads a [`Leaving`] from the first columns: id, whether it is an object, name, kept, bytes.
pub(super) fn leaving(row: &impl Columns) -> sqlx::Result<Leaving> {
    let what = if row.integer(1)? == Some(1) {
        Remains::Object(rows::object(row, 2)?)
    } else {
        Remains::Upload { name: rows::name(row, 2)?, kept: rows::optional_object(row, 3)? }
    };
    Ok(Leaving { id: LeavingId::Row(rows::number(row, 0)?), what, bytes: rows::number(row, 4)? })
}

/// Reads a [`Leaving`] from the first columns: object, size.
pub(super) fn departed(row: &impl Columns) -> sqlx::Result<Leaving> {
    let object = rows::object(row, 0)?;
    let (id, what) = (LeavingId::Departed(object.clone()), Remains::Object(object));
    Ok(Leaving { id, what, bytes: rows::number(row, 1)? })
}

/// What an index of all tenants is counted from.
#[derive(Default)]
pub(super) struct Counted {
    /// Tenant, orphans, and whether it is counted apart.
    pub(super) tenants: Vec<(Vec<u8>, u64, bool)>,
    /// Tenant, place and bytes.
    pub(super) rows: Vec<(Vec<u8>, Place, i64)>,
    /// Level, tenant, place and bytes, as they are stored.
    pub(super) stored: Vec<(i64, Vec<u8>, Place, i64)>,
}

impl Counted {
    /// Returns how the stored sums have to change.
    pub(super) fn differences(self) -> Vec<SumChange> {
        let (mut expected, mut stored) = (Sums::default(), Sums::default());
        for (tenant, orphans, is_apart) in self.tenants {
            expected.add_tenant(&tenant, orphans, is_apart);
        }
        for (tenant, place, bytes) in self.rows {
            expected.add(&tenant, &place, bytes);
        }
        for (level, tenant, place, bytes) in self.stored {
            stored.set(level, tenant, place, bytes);
        }
        expected.differences(stored)
    }
}

/// Reads a row for [`Counted::tenants`].
pub(super) fn counted_tenant(row: &impl Columns) -> sqlx::Result<(Vec<u8>, u64, bool)> {
    Ok((rows::value(row, 0)?, sum(row, 1)?, row.integer(2)? == Some(1)))
}

/// Reads a row for [`Counted::rows`].
pub(super) fn counted_row(row: &impl Columns) -> sqlx::Result<(Vec<u8>, Place, i64)> {
    Ok((rows::value(row, 0)?, place(row, 1)?, row.integer(3)?.unwrap_or(0)))
}

/// Reads a row for [`Counted::stored`].
pub(super) fn stored_sum(row: &impl Columns) -> sqlx::Result<(i64, Vec<u8>, Place, i64)> {
    let place = Place { repository: rows::value(row, 2)?, scope: rows::value(row, 3)? };
    Ok((row.integer(0)?.unwrap_or(0), rows::value(row, 1)?, place, row.integer(4)?.unwrap_or(0)))
}
