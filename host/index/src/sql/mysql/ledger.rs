//! The statements that count bytes.

use larder_storage::{ObjectName, UploadName};
use sqlx::{Connection as _, MySqlConnection, mysql::MySqlRow};

use super::{
    MySql,
    statements::{Db, execute, fetch_all, fetch_optional, json},
    sums::{LOCK_TENANTS, MAKE_SERVER, change, changed},
};
use crate::{
    Attachment, Caps, Leaving, Room, UploadId,
    ledger::{COUNTED, Level, Place, UNCOUNTED, USAGE_PROPERTY, signed},
    sql::{
        fault::Fault,
        ledger::{self, Counted, LedgerStatements},
        request::IdleTimes,
        rows::{self, Columns as _, integer, limit},
    },
};

/// A list of names, and what is leaving under them.
macro_rules! joined_leaving {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (name VARCHAR(128) CHARACTER SET utf8mb4 PATH '$')) AS names \
         STRAIGHT_JOIN leaving FORCE INDEX (leaving_by_name) ON leaving.name = CAST(names.name AS BINARY) \
         AND leaving.is_object = ? AND leaving.tenant = ?"
    };
}

/// A list of objects, and the departed entries that had them.
macro_rules! joined_departed {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (name VARCHAR(128) CHARACTER SET utf8mb4 PATH '$')) AS names \
         STRAIGHT_JOIN departed FORCE INDEX (departed_stored) ON departed.tenant = ? \
         AND departed.object = CAST(names.name AS BINARY)"
    };
}

/// Where a tenant's own sum is.
macro_rules! of_tenant {
    () => {
        "level = 2 AND tenant = ? AND repository = '' AND scope = ''"
    };
}

/// The upload's row, which is locked, and whether its tenant is counted apart.
const LOCK_NAMED: &str = concat!(
    "SELECT id, name, repository, scope, reserved_bytes, (SELECT apart FROM area_usage WHERE ",
    of_tenant!(),
    ") FROM uploads WHERE tenant = ? AND name = ? FOR UPDATE"
);

pub(super) const LOCK_ID: &str = concat!(
    "SELECT id, name, repository, scope, reserved_bytes, (SELECT apart FROM area_usage WHERE ",
    of_tenant!(),
    ") FROM uploads WHERE tenant = ? AND id = ? AND (? IS NULL OR active_ms < ? OR active_ms > ?) FOR UPDATE"
);

const SET_RESERVED: &str = "UPDATE uploads SET reserved_bytes = ? WHERE tenant = ? AND id = ?";

const LEAVES: &str = "INSERT INTO leaving (tenant, is_object, name, kept, repository, scope, bytes) \
     VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE bytes = bytes + VALUES(bytes)";

pub(super) const LOCK_LEAVING: &str = concat!(
    "SELECT leaving.repository, leaving.scope, leaving.bytes FROM ",
    joined_leaving!(),
    " FOR UPDATE"
);

const LEFT: &str = concat!("DELETE leaving FROM ", joined_leaving!());

pub(super) const LOCK_DEPARTED: &str = concat!(
    "SELECT departed.repository, departed.scope, departed.size_bytes FROM ",
    joined_departed!(),
    " FOR UPDATE"
);

const LEFT_DEPARTED: &str = concat!("UPDATE ", joined_departed!(), " SET departed.object = NULL");

const APART: &str = concat!("SELECT apart FROM area_usage WHERE ", of_tenant!());

pub(super) const LEAVING: &str = "SELECT id, is_object, name, kept, bytes \
     FROM leaving FORCE INDEX (leaving_by_tenant) WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?";

pub(super) const DEPARTED: &str = "SELECT object, size_bytes FROM departed FORCE INDEX (departed_stored) \
     WHERE tenant = ? AND object > ? ORDER BY object LIMIT ?";

pub(super) const USAGE: &str =
    "SELECT bytes FROM area_usage WHERE level = ? AND tenant = ? AND repository = ? AND scope = ?";

pub(super) const PARTS: &str = "SELECT repository, scope, bytes FROM area_usage \
     WHERE level = ? AND tenant = ? ORDER BY bytes DESC LIMIT ?";

pub(super) const PARTS_OF_REPOSITORY: &str = "SELECT repository, scope, bytes FROM area_usage \
     WHERE level = ? AND tenant = ? AND repository = ? ORDER BY bytes DESC LIMIT ?";

const MAKE_TENANT: &str = "INSERT INTO area_usage (level, tenant, repository, scope, bytes) \
     VALUES (2, ?, '', '', 0) ON DUPLICATE KEY UPDATE bytes = bytes";

const LOCK_TENANT: &str =
    concat!("SELECT orphan_bytes, bytes, apart FROM area_usage WHERE ", of_tenant!(), " FOR UPDATE");

const SET_ORPHANS: &str = concat!("UPDATE area_usage SET orphan_bytes = ? WHERE ", of_tenant!());

const SET_APART: &str = concat!("UPDATE area_usage SET apart = ? WHERE ", of_tenant!());

/// Of all tenants, by scope. One statement, because bytes move between these tables.
const EXPECTED: &str = "SELECT tenant, repository, scope, \
     CAST(LEAST(SUM(bytes), 9223372036854775807) AS SIGNED) FROM ( \
     SELECT tenant, repository, scope, size_bytes AS bytes FROM entries \
     UNION ALL SELECT tenant, repository, scope, reserved_bytes FROM uploads WHERE reserved_bytes > 0 \
     UNION ALL SELECT tenant, repository, scope, bytes FROM leaving \
     UNION ALL SELECT tenant, repository, scope, size_bytes FROM departed WHERE object IS NOT NULL) AS counted \
     GROUP BY tenant, repository, scope";

/// The row of an upload, which is locked.
struct Locked {
    id: i64,
    name: Vec<u8>,
    place: Place,
    reserved_bytes: u64,
    is_apart: bool,
}

fn locked(row: &MySqlRow) -> sqlx::Result<Locked> {
    Ok(Locked {
        id: row.integer(0)?.unwrap_or_default(),
        name: rows::value(row, 1)?,
        place: ledger::place(row, 2)?,
        reserved_bytes: rows::number(row, 4)?,
        is_apart: row.integer(5)? == Some(1),
    })
}

async fn lock(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    id: UploadId,
    idle: Option<IdleTimes>,
) -> Result<Option<Locked>, Fault> {
    let before = idle.map(|idle| integer(idle.before_ms));
    let statement = sqlx::query(LOCK_ID)
        .bind(tenant)
        .bind(tenant)
        .bind(integer(id.0))
        .bind(before)
        .bind(before)
        .bind(idle.map(|idle| integer(idle.after_ms)));
    fetch_optional(connection, statement, locked).await
}

/// Counts `bytes` for something that leaves, instead of for a row.
async fn leaves(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    (is_object, name): (bool, &[u8]),
    kept: Option<&ObjectName>,
    (place, bytes): (&Place, u64),
) -> Result<(), Fault> {
    if bytes > 0 {
        let statement = sqlx::query(LEAVES)
            .bind(tenant)
            .bind(is_object)
            .bind(name)
            .bind(kept.map(|object| object.as_str().as_bytes()))
            .bind(&*place.repository)
            .bind(&*place.scope)
            .bind(integer(bytes));
        execute(connection, statement).await?;
    }
    Ok(())
}

async fn set_reserved(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    id: i64,
    bytes: u64,
) -> Result<(), Fault> {
    execute(connection, sqlx::query(SET_RESERVED).bind(integer(bytes)).bind(tenant).bind(id)).await?;
    Ok(())
}

/// Moves what is counted for the object `replaced` of an upload to a row of its own, and back what is
/// counted so for the object that it gets.
pub(super) async fn replace(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    id: UploadId,
    replaced: &Attachment,
    new: &ObjectName,
) -> Result<(), Fault> {
    let Some(Locked { id, place, reserved_bytes, .. }) = lock(connection, tenant, id, None).await? else {
        return Ok(());
    };
    let moved = replaced.size_bytes.min(reserved_bytes);
    let object = (true, replaced.object.as_str().as_bytes());
    leaves(connection, tenant, object, None, (&place, moved)).await?;
    let back = take(connection, tenant, true, &[new.as_str()]).await?;
    let back: u64 = back.iter().map(|(_, bytes)| bytes).sum();
    set_reserved(connection, tenant, id, reserved_bytes - moved + back).await
}

/// Deletes an upload, but only if it is idle when `idle` is given. What it has reserved is leaving.
/// Returns whether it did. In a transaction of the caller's.
pub(super) async fn delete_upload(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    id: UploadId,
    idle: Option<IdleTimes>,
) -> Result<bool, Fault> {
    let Some(upload) = lock(connection, tenant, id, idle).await? else { return Ok(false) };
    delete(connection, tenant, upload.id).await?;
    leaves(connection, tenant, (false, &upload.name), None, (&upload.place, upload.reserved_bytes)).await?;
    Ok(true)
}

async fn delete(connection: &mut MySqlConnection, tenant: &[u8], id: i64) -> Result<(), Fault> {
    let delete = sqlx::query("DELETE FROM uploads WHERE tenant = ? AND id = ?");
    execute(connection, delete.bind(tenant).bind(id)).await?;
    Ok(())
}

/// Deletes the row of an upload that has become an entry. The entry is counted, and what else the upload
/// has reserved is leaving.
pub(super) async fn finalized(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    id: UploadId,
    Attachment { object, size_bytes }: &Attachment,
) -> Result<(), Fault> {
    let Some(upload) = lock(connection, tenant, id, None).await? else { return Ok(()) };
    delete(connection, tenant, upload.id).await?;
    let rest = upload.reserved_bytes.saturating_sub(*size_bytes);
    leaves(connection, tenant, (false, &upload.name), Some(object), (&upload.place, rest)).await?;
    let more = size_bytes.saturating_sub(upload.reserved_bytes);
    change(connection, &ledger::additions(tenant, upload.is_apart, &upload.place, more)).await
}

/// Forgets all that is counted for a tenant without entries and uploads.
pub(super) async fn forget(db: &mut Db<'_>) -> Result<(), Fault> {
    let tenant = db.tenant();
    let mut transaction = db.connection.begin().await?;
    let (_, bytes, apart) = lock_tenant(&mut transaction, tenant).await?;
    if !apart {
        change(&mut transaction, &ledger::of_server(-bytes)).await?;
    }
    for text in [
        "DELETE FROM leaving WHERE tenant = ?",
        "DELETE FROM area_usage WHERE level = 0 AND tenant = ?",
        "DELETE FROM area_usage WHERE level = 1 AND tenant = ?",
        "DELETE FROM area_usage WHERE level = 2 AND tenant = ?",
    ] {
        execute(&mut transaction, sqlx::query(text).bind(tenant)).await?;
    }
    transaction.commit().await.map_err(Fault::Commit)
}

/// Deletes what is leaving under these names. Returns where it was counted.
async fn take(
    connection: &mut MySqlConnection,
    tenant: &[u8],
    is_object: bool,
    names: &[&str],
) -> Result<Vec<(Place, u64)>, Fault> {
    let names = json(&names)?;
    let lock = sqlx::query(LOCK_LEAVING).bind(&names).bind(is_object).bind(tenant);
    let left: Vec<_> = fetch_all(connection, lock, left_row).await?;
    if !left.is_empty() {
        execute(connection, sqlx::query(LEFT).bind(&names).bind(is_object).bind(tenant)).await?;
    }
    Ok(left)
}

/// Lowers the sums by what has left.
async fn settle(connection: &mut MySqlConnection, tenant: &[u8], left: &[(Place, u64)]) -> Result<(), Fault> {
    if !left.is_empty() {
        let apart = fetch_optional(connection, sqlx::query(APART).bind(tenant), |row| row.integer(0));
        let apart = apart.await?.flatten() == Some(1);
        change(connection, &ledger::removals(tenant, apart, left)).await?;
    }
    Ok(())
}

/// Locks the tenant's sum, which is made if there is none. Returns its orphans, its bytes, and whether
/// it is counted apart.
async fn lock_tenant(connection: &mut MySqlConnection, tenant: &[u8]) -> Result<(i64, i64, bool), Fault> {
    execute(connection, sqlx::query(MAKE_TENANT).bind(tenant)).await?;
    let row = sqlx::query(LOCK_TENANT).bind(tenant).fetch_one(connection).await?;
    let number = |column| row.integer(column).map(Option::unwrap_or_default);
    Ok((number(0)?, number(1)?, number(2)? == 1))
}

fn left_row(row: &MySqlRow) -> sqlx::Result<(Place, u64)> {
    Ok((ledger::place(row, 0)?, ledger::sum(row, 2)?))
}

/// Sums in one statement of a recount.
const MAX_CHANGES: usize = 1_000;

impl LedgerStatements for MySql {
    async fn reserve_room(
        db: &mut Db<'_>,
        name: &UploadName,
        bytes: u64,
        caps: &Caps,
    ) -> Result<Room, Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let lock = sqlx::query(LOCK_NAMED).bind(tenant).bind(tenant).bind(name.as_str().as_bytes());
        let Some(upload) = fetch_optional(&mut transaction, lock, locked).await? else {
            transaction.rollback().await?;
            return Ok(Room::Gone);
        };
        let reserved = upload.reserved_bytes.saturating_add(bytes);
        set_reserved(&mut transaction, tenant, upload.id, reserved).await?;
        let changes = ledger::additions(tenant, upload.is_apart, &upload.place, bytes);
        change(&mut transaction, &changes).await?;
        let sums = changed(&mut transaction, &changes).await?;
        if let Some(short) = ledger::shortage(caps, &sums) {
            transaction.rollback().await?;
            return Ok(short);
        }
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Room::Reserved)
    }

    async fn left_uploads(db: &mut Db<'_>, names: &[UploadName]) -> Result<(), Fault> {
        let names: Vec<&str> = names.iter().map(UploadName::as_str).collect();
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let left = take(&mut transaction, tenant, false, &names).await?;
        settle(&mut transaction, tenant, &left).await?;
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn left_objects(db: &mut Db<'_>, names: &[ObjectName]) -> Result<(), Fault> {
        let names: Vec<&str> = names.iter().map(ObjectName::as_str).collect();
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let mut left = take(&mut transaction, tenant, true, &names).await?;
        let names = json(&names)?;
        let lock = sqlx::query(LOCK_DEPARTED).bind(&names).bind(tenant);
        let mut departed: Vec<_> = fetch_all(&mut transaction, lock, left_row).await?;
        if !departed.is_empty() {
            execute(&mut transaction, sqlx::query(LEFT_DEPARTED).bind(&names).bind(tenant)).await?;
        }
        left.append(&mut departed);
        settle(&mut transaction, tenant, &left).await?;
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn leaving(db: &mut Db<'_>, after: u64, most: usize) -> Result<Vec<Leaving>, Fault> {
        let statement = db.query(LEAVING).bind(integer(after)).bind(limit(most));
        fetch_all(db.connection, statement, ledger::leaving).await
    }

    async fn departed_objects(db: &mut Db<'_>, after: &str, most: usize) -> Result<Vec<Leaving>, Fault> {
        let statement = db.query(DEPARTED).bind(after.as_bytes()).bind(limit(most));
        fetch_all(db.connection, statement, ledger::departed).await
    }

    async fn usage(db: &mut Db<'_>, level: Level, place: &Place) -> Result<u64, Fault> {
        let (repository, scope) = place.at(level);
        let tenant = if level == Level::Server { b"" } else { db.tenant() };
        let statement = sqlx::query(USAGE).bind(level.number()).bind(tenant).bind(repository).bind(scope);
        Ok(fetch_optional(db.connection, statement, |row| ledger::sum(row, 0)).await?.unwrap_or(0))
    }

    async fn parts(
        db: &mut Db<'_>,
        level: Level,
        repository: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<(Place, u64)>, Fault> {
        let text = if repository.is_some() { PARTS_OF_REPOSITORY } else { PARTS };
        let mut statement = sqlx::query(text).bind(level.number()).bind(db.tenant());
        if let Some(repository) = repository {
            statement = statement.bind(repository.to_vec());
        }
        let part = |row: &MySqlRow| {
            let place = Place { repository: rows::value(row, 0)?, scope: rows::value(row, 1)? };
            Ok((place, ledger::sum(row, 2)?))
        };
        fetch_all(db.connection, statement.bind(limit(most)), part).await
    }

    async fn set_orphans(db: &mut Db<'_>, bytes: u64) -> Result<(), Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let (known, _, apart) = lock_tenant(&mut transaction, tenant).await?;
        change(&mut transaction, &ledger::of_tenant(tenant, apart, signed(bytes) - known)).await?;
        execute(&mut transaction, sqlx::query(SET_ORPHANS).bind(integer(bytes)).bind(tenant)).await?;
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn set_counted_apart(db: &mut Db<'_>, apart: bool) -> Result<(), Fault> {
        let tenant = db.tenant();
        let known = fetch_optional(db.connection, sqlx::query(APART).bind(tenant), |row| row.integer(0));
        if (known.await?.flatten() == Some(1)) == apart {
            return Ok(());
        }
        let mut transaction = db.connection.begin().await?;
        let (_, bytes, known) = lock_tenant(&mut transaction, tenant).await?;
        if known != apart {
            change(&mut transaction, &ledger::of_server(if apart { -bytes } else { bytes })).await?;
            execute(&mut transaction, sqlx::query(SET_APART).bind(apart).bind(tenant)).await?;
        }
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn recount(connection: &mut MySqlConnection) -> Result<u64, Fault> {
        execute(connection, sqlx::query(MAKE_SERVER)).await?;
        let mut transaction = connection.begin().await?;
        // From here on no transaction that changes sums can commit: each changes one of these last. Of
        // those before, the statements below see rows and sums; of those under way, neither.
        execute(&mut transaction, sqlx::query(LOCK_TENANTS)).await?;
        let stored = sqlx::query("SELECT level, tenant, repository, scope, bytes FROM area_usage");
        let tenants = sqlx::query("SELECT tenant, orphan_bytes, apart FROM area_usage WHERE level = 2");
        let counted = Counted {
            tenants: fetch_all(&mut transaction, tenants, ledger::counted_tenant).await?,
            rows: fetch_all(&mut transaction, sqlx::query(EXPECTED), ledger::counted_row).await?,
            stored: fetch_all(&mut transaction, stored, ledger::stored_sum).await?,
        };
        let wrong = counted.differences();
        for some in wrong.chunks(MAX_CHANGES) {
            change(&mut transaction, some).await?;
        }
        let set = sqlx::query("UPDATE properties SET value = ? WHERE name = ?");
        let set = set.bind(COUNTED.as_bytes()).bind(USAGE_PROPERTY.as_bytes());
        execute(&mut transaction, set).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(wrong.len() as u64)
    }

    async fn is_uncounted(connection: &mut MySqlConnection) -> Result<bool, Fault> {
        let asked = sqlx::query("SELECT 1 FROM properties WHERE name = ? AND value = ?");
        let asked = asked.bind(USAGE_PROPERTY.as_bytes()).bind(UNCOUNTED.as_bytes());
        Ok(asked.fetch_optional(connection).await?.is_some())
    }

    async fn set_uncounted(connection: &mut MySqlConnection) -> Result<(), Fault> {
        let set = sqlx::query("UPDATE properties SET value = ? WHERE name = ?");
        execute(connection, set.bind(UNCOUNTED.as_bytes()).bind(USAGE_PROPERTY.as_bytes())).await?;
        Ok(())
    }
}
