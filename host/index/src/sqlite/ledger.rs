//! The statements that count bytes. See [`crate::ledger`].

use std::collections::BTreeMap;

use larder_storage::{ObjectName, UploadName};
use rusqlite::{OptionalExtension as _, Row, params, types::Type};

use super::{
    rows::{self, integer, number},
    tenant::TenantConnection,
};
use crate::{
    Area, Caps, Leaving, LeavingId, Remains, Room, UploadId,
    ledger::{Level, Place},
};

pub(super) const USAGE: &str = "SELECT bytes FROM area_usage \
     WHERE tenant = ?1 AND level = ?2 AND repository = ?3 AND scope = ?4";

/// `?5` may be negative. A sum is never negative, and at most the largest number.
pub(super) const CHANGE: &str = "INSERT INTO area_usage (tenant, level, repository, scope, bytes) \
     VALUES (?1, ?2, ?3, ?4, max(?5, 0)) ON CONFLICT DO UPDATE \
     SET bytes = max(0, min(bytes, 9223372036854775807 - max(?5, 0)) + ?5)";

pub(super) const FORGET_EMPTY: &str = "DELETE FROM area_usage \
     WHERE tenant = ?1 AND level = ?2 AND repository = ?3 AND scope = ?4 AND bytes = 0";

pub(super) const TENANT: &str = "SELECT bytes, orphan_bytes, apart FROM area_usage \
     WHERE tenant = ?1 AND level = 2 AND repository = x'' AND scope = x''";

pub(super) const LEAVES: &str = "INSERT INTO leaving (tenant, is_object, name, kept, repository, scope, bytes) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (tenant, is_object, name) DO UPDATE SET bytes = bytes + excluded.bytes";

pub(super) const LEFT: &str = "DELETE FROM leaving WHERE tenant = ?1 AND is_object = ?2 AND name = ?3 \
     RETURNING repository, scope, bytes";

pub(super) const LEFT_DEPARTED: &str = "UPDATE departed INDEXED BY departed_stored SET object = NULL WHERE tenant = ?1 AND object = ?2 \
     RETURNING repository, scope, size_bytes";

pub(super) const RESERVED: &str =
    "SELECT id, repository, scope, reserved_bytes FROM uploads WHERE tenant = ?1 AND name = ?2";

pub(super) const LEAVING: &str = "SELECT id, is_object, name, kept, bytes \
     FROM leaving INDEXED BY leaving_by_tenant WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

pub(super) const DEPARTED: &str = "SELECT object, size_bytes FROM departed INDEXED BY departed_stored \
     WHERE tenant = ?1 AND object IS NOT NULL AND object > ?2 ORDER BY object LIMIT ?3";

pub(super) const PARTS: &str = "SELECT repository, scope, bytes FROM area_usage \
     WHERE tenant = ?1 AND level = ?2 AND (?3 IS NULL OR repository = ?3) ORDER BY bytes DESC LIMIT ?4";

/// An upload whose row was deleted.
struct Deleted {
    name: String,
    place: Place,
    reserved_bytes: u64,
}

/// Reads repository and scope, and shortens them.
pub(super) fn place(row: &Row<'_>, first: usize) -> rusqlite::Result<Place> {
    let bytes =
        |column| row.get_ref(column)?.as_blob().map_err(|error| rows::invalid(column, Type::Blob, error));
    Ok(Place::clipped(bytes(first)?, bytes(first + 1)?))
}

/// Returns whether the tenant does not count for the server.
pub(super) fn is_apart(conn: TenantConnection<'_>) -> rusqlite::Result<bool> {
    let apart = conn.prepare(TENANT)?.query_one([conn.tenant()], |row| row.get(2)).optional()?;
    Ok(apart.unwrap_or(false))
}

/// Returns the tenant under which the sum of a level is stored.
fn holder<'a>(conn: TenantConnection<'a>, level: Level) -> &'a str {
    if level == Level::Server { "" } else { conn.tenant() }
}

/// Changes a sum. Its place: repository and scope, as [`Place::at`] says.
fn change_level(
    conn: TenantConnection<'_>,
    level: Level,
    (repository, scope): (&[u8], &[u8]),
    bytes: i64,
) -> rusqlite::Result<()> {
    let tenant = holder(conn, level);
    conn.prepare(CHANGE)?.execute(params![tenant, level.number(), repository, scope, bytes])?;
    if bytes < 0 && level < Level::Tenant {
        conn.prepare(FORGET_EMPTY)?.execute(params![tenant, level.number(), repository, scope])?;
    }
    Ok(())
}

/// Changes the sums of all areas of a place.
fn change(conn: TenantConnection<'_>, place: &Place, bytes: i64) -> rusqlite::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    for level in Level::of_tenant(is_apart(conn)?) {
        change_level(conn, *level, place.at(*level), bytes)?;
    }
    Ok(())
}

fn stored(conn: TenantConnection<'_>, level: Level, place: &Place) -> rusqlite::Result<u64> {
    let (repository, scope) = place.at(level);
    let stored = conn
        .prepare(USAGE)?
        .query_one(params![holder(conn, level), level.number(), repository, scope], |row| number(row, 0));
    Ok(stored.optional()?.unwrap_or(0))
}

/// See [`crate::Index::reserve_room`].
pub(super) fn reserve_room(
    conn: TenantConnection<'_>,
    name: &UploadName,
    bytes: u64,
    caps: &Caps,
) -> rusqlite::Result<Room> {
    let upload = conn
        .prepare(RESERVED)?
        .query_one([conn.tenant(), name.as_str()], |row| {
            Ok((number(row, 0)?, place(row, 1)?, number(row, 3)?))
        })
        .optional()?;
    let Some((id, place, reserved)) = upload else { return Ok(Room::Gone) };
    for level in Level::of_tenant(is_apart(conn)?) {
        if let Some(cap) = caps.of(level.bound()) {
            let missing = stored(conn, *level, &place)?.saturating_add(bytes).saturating_sub(cap);
            if missing > 0 {
                return Ok(Room::Short { bound: level.bound(), bytes: missing });
            }
        }
    }
    set_reserved(conn, UploadId(id), reserved.saturating_add(bytes))?;
    change(conn, &place, integer(bytes))?;
    Ok(Room::Reserved)
}

fn set_reserved(conn: TenantConnection<'_>, id: UploadId, bytes: u64) -> rusqlite::Result<()> {
    conn.prepare("UPDATE uploads SET reserved_bytes = ?3 WHERE tenant = ?1 AND id = ?2")?
        .execute(params![conn.tenant(), integer(id.0), integer(bytes)])?;
    Ok(())
}

/// Counts `bytes` for something that leaves, instead of for a row.
fn leaves(
    conn: TenantConnection<'_>,
    (is_object, name): (bool, &str),
    kept: Option<&ObjectName>,
    place: &Place,
    bytes: u64,
) -> rusqlite::Result<()> {
    if bytes > 0 {
        conn.prepare(LEAVES)?.execute(params![
            conn.tenant(),
            is_object,
            name,
            kept.map(ObjectName::as_str),
            place.repository,
            place.scope,
            integer(bytes)
        ])?;
    }
    Ok(())
}

/// Moves what is counted for the object `replaced` of an upload to a row of its own, and back what is
/// counted so for the object that it gets.
pub(super) fn replace(
    conn: TenantConnection<'_>,
    name: &UploadName,
    (replaced, replaced_bytes): (&ObjectName, u64),
    new: &ObjectName,
) -> rusqlite::Result<()> {
    let (id, place, reserved) = conn.prepare(RESERVED)?.query_one([conn.tenant(), name.as_str()], |row| {
        Ok((number(row, 0)?, place(row, 1)?, number(row, 3)?))
    })?;
    let moved = replaced_bytes.min(reserved);
    leaves(conn, (true, replaced.as_str()), None, &place, moved)?;
    let back = conn
        .prepare(LEFT)?
        .query_one(params![conn.tenant(), true, new.as_str()], |row| number(row, 2))
        .optional()?;
    set_reserved(conn, UploadId(id), reserved - moved + back.unwrap_or(0))
}

/// Deletes the rows of uploads that `delete` returns: name, repository, scope and what is reserved.
fn delete(
    conn: TenantConnection<'_>,
    delete: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Option<Deleted>> {
    let read = |row: &Row<'_>| {
        Ok(Deleted { name: row.get(0)?, place: place(row, 1)?, reserved_bytes: number(row, 3)? })
    };
    conn.prepare(delete)?.query_one(parameters, read).optional()
}

pub(super) const DELETE_UPLOAD: &str = "DELETE FROM uploads WHERE tenant = ?1 AND id = ?2 \
     RETURNING name, repository, scope, reserved_bytes";

pub(super) const DELETE_IDLE_UPLOAD: &str = "DELETE FROM uploads WHERE tenant = ?1 AND id = ?2 AND active_ms < ?3 \
     RETURNING name, repository, scope, reserved_bytes";

/// Deletes an upload, if its last activity is before `idle_before_ms` where that is given. What it has
/// reserved is leaving.
pub(super) fn abandon(
    conn: TenantConnection<'_>,
    id: UploadId,
    idle_before_ms: Option<u64>,
) -> rusqlite::Result<bool> {
    let deleted = match idle_before_ms {
        None => delete(conn, DELETE_UPLOAD, params![conn.tenant(), integer(id.0)])?,
        Some(before) => {
            delete(conn, DELETE_IDLE_UPLOAD, params![conn.tenant(), integer(id.0), integer(before)])?
        }
    };
    let Some(Deleted { name, place, reserved_bytes }) = deleted else { return Ok(false) };
    leaves(conn, (false, &name), None, &place, reserved_bytes)?;
    Ok(true)
}

/// Deletes the row of an upload that has become an entry with this object. The entry is counted, and
/// what else the upload has reserved is leaving.
pub(super) fn finalized(
    conn: TenantConnection<'_>,
    id: UploadId,
    object: &ObjectName,
    size_bytes: u64,
) -> rusqlite::Result<()> {
    let deleted = delete(conn, DELETE_UPLOAD, params![conn.tenant(), integer(id.0)])?;
    let Some(Deleted { name, place, reserved_bytes }) = deleted else { return Ok(()) };
    leaves(conn, (false, &name), Some(object), &place, reserved_bytes.saturating_sub(size_bytes))?;
    change(conn, &place, integer(size_bytes.saturating_sub(reserved_bytes)))
}

/// See [`crate::Index::left_uploads`].
pub(super) fn left_uploads(conn: TenantConnection<'_>, uploads: &[UploadName]) -> rusqlite::Result<()> {
    let names = uploads.iter().map(UploadName::as_str);
    let left = left(conn, LEFT, names.map(|name| (conn.tenant(), false, name)))?;
    settle(conn, left)
}

/// See [`crate::Index::left_objects`].
pub(super) fn left_objects(conn: TenantConnection<'_>, objects: &[ObjectName]) -> rusqlite::Result<()> {
    let names = || objects.iter().map(ObjectName::as_str);
    let mut all = left(conn, LEFT, names().map(|name| (conn.tenant(), true, name)))?;
    all.append(&mut left(conn, LEFT_DEPARTED, names().map(|name| (conn.tenant(), name)))?);
    settle(conn, all)
}

/// Runs a statement for each of some names, which returns repository, scope and bytes.
fn left(
    conn: TenantConnection<'_>,
    statement: &str,
    parameters: impl Iterator<Item = impl rusqlite::Params>,
) -> rusqlite::Result<Vec<(Place, u64)>> {
    let mut statement = conn.prepare(statement)?;
    let mut left = Vec::new();
    for parameters in parameters {
        let rows = statement.query_map(parameters, |row| Ok((place(row, 0)?, number(row, 2)?)))?;
        for row in rows {
            left.push(row?);
        }
    }
    Ok(left)
}

/// Takes off what has left: one change of each sum.
fn settle(conn: TenantConnection<'_>, left: Vec<(Place, u64)>) -> rusqlite::Result<()> {
    let mut of_places: BTreeMap<Place, u64> = BTreeMap::new();
    for (place, bytes) in left {
        let sum = of_places.entry(place).or_default();
        *sum = sum.saturating_add(bytes);
    }
    of_places.retain(|_, bytes| *bytes > 0);
    if of_places.is_empty() {
        return Ok(());
    }
    for level in Level::of_tenant(is_apart(conn)?) {
        let mut sums: BTreeMap<_, u64> = BTreeMap::new();
        for (place, bytes) in &of_places {
            let sum = sums.entry(place.at(*level)).or_default();
            *sum = sum.saturating_add(*bytes);
        }
        sums.into_iter().try_for_each(|(place, bytes)| change_level(conn, *level, place, -integer(bytes)))?;
    }
    Ok(())
}

/// See [`crate::Index::list_leaving`].
pub(super) fn list_leaving(
    conn: TenantConnection<'_>,
    after: Option<&LeavingId>,
    limit: usize,
) -> rusqlite::Result<Vec<Leaving>> {
    let _snapshot = conn.snapshot()?;
    let mut listed = Vec::new();
    let departed_after = match after {
        Some(LeavingId::Departed(object)) => object.as_str(),
        after => {
            let after = if let Some(LeavingId::Row(id)) = after { *id } else { 0 };
            let mut statement = conn.prepare(LEAVING)?;
            let rows =
                statement.query_map(params![conn.tenant(), integer(after), rows::limit(limit)], leaving)?;
            listed = rows.collect::<rusqlite::Result<_>>()?;
            ""
        }
    };
    let limit = rows::limit(limit - listed.len());
    let mut statement = conn.prepare(DEPARTED)?;
    let rows = statement.query_map(params![conn.tenant(), departed_after, limit], departed)?;
    for row in rows {
        listed.push(row?);
    }
    Ok(listed)
}

fn leaving(row: &Row<'_>) -> rusqlite::Result<Leaving> {
    let what = if row.get(1)? {
        Remains::Object(rows::object(row, 2)?)
    } else {
        let name: String = row.get(2)?;
        let name = UploadName::parse(name).map_err(|error| rows::invalid(2, Type::Text, error))?;
        let has_kept = row.get_ref(3)?.data_type() != Type::Null;
        let kept = has_kept.then(|| rows::object(row, 3)).transpose()?;
        Remains::Upload { name, kept }
    };
    Ok(Leaving { id: LeavingId::Row(number(row, 0)?), what, bytes: number(row, 4)? })
}

fn departed(row: &Row<'_>) -> rusqlite::Result<Leaving> {
    let object = rows::object(row, 0)?;
    let (id, what) = (LeavingId::Departed(object.clone()), Remains::Object(object));
    Ok(Leaving { id, what, bytes: number(row, 1)? })
}

/// See [`crate::Index::usage_of`].
pub(super) fn usage_of(conn: TenantConnection<'_>, area: &Area) -> rusqlite::Result<u64> {
    let (level, place) = Place::of(area);
    stored(conn, level, &place)
}

/// See [`crate::Index::list_usage`].
pub(super) fn list_usage(
    conn: TenantConnection<'_>,
    area: &Area,
    limit: usize,
) -> rusqlite::Result<Vec<(Area, u64)>> {
    let (_, place) = Place::of(area);
    let (level, within) = match area {
        Area::Scope { .. } | Area::Server => return Ok(Vec::new()),
        Area::Repository(_) => (Level::Scope, Some(place.repository)),
        Area::Tenant => (Level::Repository, None),
    };
    let read = |row: &Row<'_>| {
        let (repository, bytes) = (listed(row, 0)?, number(row, 2)?);
        let part = match &within {
            Some(_) => Area::Scope { repository, scope: listed(row, 1)? },
            None => Area::Repository(repository),
        };
        Ok((part, bytes))
    };
    conn.prepare(PARTS)?
        .query_map(params![conn.tenant(), level.number(), within, rows::limit(limit)], read)?
        .collect()
}

/// Reads a text, which may have been clipped within a letter.
fn listed(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(&row.get::<_, Vec<u8>>(column)?).into_owned())
}

/// See [`crate::Index::set_orphans`].
pub(super) fn set_orphans(conn: TenantConnection<'_>, bytes: u64) -> rusqlite::Result<()> {
    let known = conn.prepare(TENANT)?.query_one([conn.tenant()], |row| number(row, 1)).optional()?;
    let more = integer(bytes) - integer(known.unwrap_or(0));
    for level in Level::of_tenant(is_apart(conn)?).iter().filter(|level| **level >= Level::Tenant) {
        change_level(conn, *level, (&[], &[]), more)?;
    }
    conn.prepare(
        "UPDATE area_usage SET orphan_bytes = ?2 \
         WHERE level = 2 AND tenant = ?1 AND repository = x'' AND scope = x''",
    )?
    .execute(params![conn.tenant(), integer(bytes)])?;
    Ok(())
}

/// See [`crate::Index::set_counted_apart`].
pub(super) fn set_counted_apart(conn: TenantConnection<'_>, apart: bool) -> rusqlite::Result<()> {
    if is_apart(conn)? == apart {
        return Ok(());
    }
    let bytes = integer(stored(conn, Level::Tenant, &Place::default())?);
    change_level(conn, Level::Server, (&[], &[]), if apart { -bytes } else { bytes })?;
    conn.prepare(
        "INSERT INTO area_usage (level, tenant, repository, scope, bytes, apart) \
         VALUES (2, ?1, x'', x'', 0, ?2) ON CONFLICT DO UPDATE SET apart = ?2",
    )?
    .execute(params![conn.tenant(), apart])?;
    Ok(())
}

/// Forgets all that is counted for a tenant without entries and uploads.
pub(super) fn forget(conn: TenantConnection<'_>) -> rusqlite::Result<()> {
    if !is_apart(conn)? {
        let bytes = integer(stored(conn, Level::Tenant, &Place::default())?);
        change_level(conn, Level::Server, (&[], &[]), -bytes)?;
    }
    conn.prepare("DELETE FROM leaving WHERE tenant = ?1")?.execute([conn.tenant()])?;
    for level in Level::of_tenant(true) {
        conn.prepare("DELETE FROM area_usage WHERE level = ?2 AND tenant = ?1")?
            .execute(params![conn.tenant(), level.number()])?;
    }
    Ok(())
}
