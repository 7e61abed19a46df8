//! The statements that count bytes.

use larder_storage::{ObjectName, UploadName};
use sqlx::{Connection as _, PgConnection};

use super::{
    Postgres,
    statements::{Db, PgQuery, entry_columns, execute, fetch_all, fetch_optional},
};
use crate::{
    Caps, Leaving, Room,
    ledger::{COUNTED, Level, Place, SumChange, UNCOUNTED, USAGE_PROPERTY},
    max_clock_skew_ms,
    sql::{
        fault::Fault,
        ledger::{self, Counted, LedgerStatements},
        rows::{self, integer, limit},
    },
};

/// A text as a sum has it.
macro_rules! clipped {
    ($text:literal) => {
        concat!(
            "CASE WHEN length(",
            $text,
            ") <= 255 THEN ",
            $text,
            " ELSE substring(",
            $text,
            " FROM 1 FOR 200) || convert_to(encode(sha256(",
            $text,
            "), 'hex'), 'UTF8') END"
        )
    };
}

/// What a sum becomes by a change in `excluded`: not negative, and at most the largest number.
macro_rules! changed {
    () => {
        "ON CONFLICT (level, tenant, repository, scope) DO UPDATE SET bytes = \
         greatest(0, least(area_usage.bytes, 9223372036854775807 - greatest(excluded.bytes, 0)) + excluded.bytes)"
    };
}

/// What a row of `leaving` becomes if there is one.
macro_rules! more_leaves {
    () => {
        "ON CONFLICT (name, is_object, tenant) DO UPDATE SET bytes = leaving.bytes + excluded.bytes"
    };
}

/// Whether the tenant `$1` does not count for the server.
macro_rules! is_apart {
    () => {
        "EXISTS (SELECT FROM area_usage \
         WHERE level = 2 AND tenant = $1 AND repository = ''::bytea AND scope = ''::bytea AND apart)"
    };
}

/// Waits for transactions that change the row, and then reads its latest version. What is counted for an
/// object that is replaced moves to `leaving`; what is counted so for the new one moves back.
pub(super) const ATTACH: &str = concat!(
    "WITH before AS (SELECT id, object, repository, scope, \
       CASE WHEN object <> $3 THEN least(size_bytes, reserved_bytes) ELSE 0 END AS moved \
       FROM uploads WHERE tenant || '' = $1 AND id = $2 FOR UPDATE), \
     back AS (DELETE FROM leaving USING before WHERE leaving.name = $3 AND leaving.is_object \
       AND leaving.tenant || '' = $1 AND before.object <> $3 RETURNING leaving.bytes), \
     attached AS (UPDATE uploads SET object = $3, size_bytes = $4, digest = $6, \
       reserved_bytes = reserved_bytes - before.moved + coalesce((SELECT sum(bytes)::bigint FROM back), 0), \
       active_ms = CASE WHEN uploads.active_ms - ",
    max_clock_skew_ms!(),
    " > $5 THEN $5 ELSE greatest(uploads.active_ms, $5) END FROM before WHERE uploads.id = before.id \
       RETURNING before.object, before.repository, before.scope, before.moved), \
     gone AS (INSERT INTO leaving (tenant, is_object, name, repository, scope, bytes) SELECT $1, true, object, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", moved FROM attached WHERE moved > 0 ",
    more_leaves!(),
    ") SELECT object FROM attached"
);

/// What the upload has reserved beyond its content moves to `leaving`. If it has reserved less, the rest
/// is counted.
pub(super) const FINALIZE: &str = concat!(
    "WITH upload AS (DELETE FROM uploads WHERE tenant || '' = $1 AND id = $2 AND object = $3 AND size_bytes = $4 RETURNING *), \
     gone AS (INSERT INTO leaving (tenant, is_object, name, kept, repository, scope, bytes) \
       SELECT tenant, false, name, object, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", reserved_bytes - size_bytes FROM upload WHERE reserved_bytes > size_bytes ",
    more_leaves!(),
    "), counted AS (INSERT INTO area_usage (level, tenant, repository, scope, bytes) \
       SELECT level, CASE WHEN level < 3 THEN tenant ELSE '' END, CASE WHEN level < 2 THEN ",
    clipped!("repository"),
    " ELSE '' END, CASE WHEN level < 1 THEN ",
    clipped!("scope"),
    " ELSE '' END, size_bytes - reserved_bytes FROM upload CROSS JOIN (VALUES (0), (1), (2), (3)) AS levels (level) \
       WHERE size_bytes > reserved_bytes AND (level < 3 OR NOT ",
    is_apart!(),
    ") ",
    changed!(),
    ") INSERT INTO entries \
     (tenant, slot, place, repository, scope, version, key, object, size_bytes, created_ms, used_ms, boot, upload, owner, folded, \
     uses, facts, trust, digest) \
     SELECT tenant, slot, place, repository, scope, version, key, object, size_bytes, $5, $5, $6, id, owner, folded, \
     0, facts, trust, digest FROM upload RETURNING ",
    entry_columns!()
);

/// Returns a row if it did. What the upload has reserved moves to `leaving`.
pub(super) const DELETE_UPLOAD: &str = concat!(
    "WITH upload AS (DELETE FROM uploads WHERE tenant || '' = $1 AND id = $2 \
       AND ($3::bigint IS NULL OR active_ms < $3 OR active_ms > $4::bigint) \
       RETURNING tenant, name, repository, scope, reserved_bytes), \
     gone AS (INSERT INTO leaving (tenant, is_object, name, repository, scope, bytes) SELECT tenant, false, name, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", reserved_bytes FROM upload WHERE reserved_bytes > 0 ",
    more_leaves!(),
    ") SELECT 1 FROM upload"
);

const RESERVE: &str = concat!(
    "UPDATE uploads SET reserved_bytes = least(reserved_bytes, 9223372036854775807 - $3) + $3 \
     WHERE tenant || '' = $1 AND name = $2 RETURNING repository, scope, (",
    is_apart!(),
    ")::int::bigint"
);

/// Locks the sums in the order of the lists.
const CHANGE: &str = concat!(
    "INSERT INTO area_usage (level, tenant, repository, scope, bytes) \
     SELECT * FROM unnest($1::smallint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[]) ",
    changed!(),
    " RETURNING level::bigint, bytes"
);

const FORGET_EMPTY: &str = "DELETE FROM area_usage \
     USING unnest($1::smallint[], $2::bytea[], $3::bytea[], $4::bytea[]) AS gone (level, tenant, repository, scope) \
     WHERE area_usage.level = gone.level AND area_usage.tenant = gone.tenant \
     AND area_usage.repository = gone.repository AND area_usage.scope = gone.scope AND area_usage.bytes <= 0";

const IS_APART: &str = concat!("SELECT 1 FROM (SELECT $1::bytea) AS one WHERE ", is_apart!());

pub(super) const LEFT: &str = "DELETE FROM leaving \
     WHERE name = ANY ($2::bytea[]) AND is_object = $3 AND tenant || '' = $1 RETURNING repository, scope, bytes";

pub(super) const LEFT_DEPARTED: &str = "UPDATE departed SET object = NULL \
     WHERE tenant = $1 AND object = ANY ($2::bytea[]) RETURNING repository, scope, size_bytes";

pub(super) const LEAVING: &str = "SELECT id, is_object::int::bigint, name, kept, bytes FROM \
     (SELECT * FROM leaving WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3) AS page \
     WHERE tenant = $1 ORDER BY tenant, id";

pub(super) const DEPARTED: &str = "SELECT object, size_bytes FROM departed \
     WHERE tenant = $1 AND object IS NOT NULL AND object > $2 ORDER BY tenant, object LIMIT $3";

pub(super) const USAGE: &str = "SELECT bytes FROM area_usage \
     WHERE tenant = $1 AND level = $2 AND repository = $3 AND scope = $4";

pub(super) const PARTS: &str = "SELECT repository, scope, bytes FROM area_usage \
     WHERE tenant = $1 AND level = $2 ORDER BY bytes DESC LIMIT $3";

pub(super) const PARTS_OF_REPOSITORY: &str = "SELECT repository, scope, bytes FROM area_usage \
     WHERE tenant = $1 AND level = $2 AND repository = $4 ORDER BY bytes DESC LIMIT $3";

const LOCK_TENANT: &str = "SELECT orphan_bytes, bytes, apart::int::bigint FROM area_usage \
     WHERE tenant = $1 AND level = 2 AND repository = ''::bytea AND scope = ''::bytea FOR UPDATE";

const SET_ORPHANS: &str = "UPDATE area_usage SET orphan_bytes = $2 \
     WHERE tenant = $1 AND level = 2 AND repository = ''::bytea AND scope = ''::bytea";

const SET_APART: &str = "UPDATE area_usage SET apart = $2 \
     WHERE tenant = $1 AND level = 2 AND repository = ''::bytea AND scope = ''::bytea";

const MAKE_TENANT: &str = "INSERT INTO area_usage (level, tenant, repository, scope, bytes) \
     VALUES (2, $1, '', '', 0) ON CONFLICT (level, tenant, repository, scope) DO NOTHING";

/// Of all tenants, by scope. One statement, because bytes move between these tables.
const EXPECTED: &str = "SELECT tenant, repository, scope, \
     least(sum(bytes), 9223372036854775807)::bigint FROM ( \
     SELECT tenant, repository, scope, size_bytes AS bytes FROM entries \
     UNION ALL SELECT tenant, repository, scope, reserved_bytes FROM uploads WHERE reserved_bytes > 0 \
     UNION ALL SELECT tenant, repository, scope, bytes FROM leaving \
     UNION ALL SELECT tenant, repository, scope, size_bytes FROM departed WHERE object IS NOT NULL) AS counted \
     GROUP BY tenant, repository, scope";

/// Changes sums, and deletes those of repositories and scopes in which nothing is left. Returns the
/// level and the new sum of each.
async fn change(connection: &mut PgConnection, changes: &[SumChange]) -> Result<Vec<(i64, u64)>, Fault> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let bytes: Vec<i64> = changes.iter().map(|change| change.bytes).collect();
    let sums = fetch_all(connection, lists(CHANGE, changes.iter()).bind(bytes), |row| {
        Ok((rows::Columns::integer(row, 0)?.unwrap_or(0), ledger::sum(row, 1)?))
    })
    .await?;
    let lowered = |change: &&SumChange| change.bytes < 0 && change.level < Level::Tenant.number();
    if changes.iter().any(|change| lowered(&change)) {
        execute(connection, lists(FORGET_EMPTY, changes.iter().filter(lowered))).await?;
    }
    Ok(sums)
}

/// A statement about the sums of some changes.
fn lists<'a>(text: &'static str, changes: impl Iterator<Item = &'a SumChange> + Clone) -> PgQuery<'a> {
    let levels: Vec<i16> =
        changes.clone().map(|change| i16::try_from(change.level).unwrap_or_default()).collect();
    let tenants: Vec<&[u8]> = changes.clone().map(|change| &*change.tenant).collect();
    let repositories: Vec<&[u8]> = changes.clone().map(|change| &*change.place.repository).collect();
    let scopes: Vec<&[u8]> = changes.map(|change| &*change.place.scope).collect();
    sqlx::query(text).bind(levels).bind(tenants).bind(repositories).bind(scopes)
}

async fn is_counted_apart(connection: &mut PgConnection, tenant: &[u8]) -> Result<bool, Fault> {
    Ok(sqlx::query(IS_APART).bind(tenant).fetch_optional(connection).await?.is_some())
}

/// Locks the tenant's sum, which is made if there is none. Returns its orphans, its bytes, and whether
/// it is counted apart.
async fn lock_tenant(connection: &mut PgConnection, tenant: &[u8]) -> Result<(i64, i64, bool), Fault> {
    execute(connection, sqlx::query(MAKE_TENANT).bind(tenant)).await?;
    let row = sqlx::query(LOCK_TENANT).bind(tenant).fetch_one(connection).await?;
    let number = |column| rows::Columns::integer(&row, column).map(Option::unwrap_or_default);
    Ok((number(0)?, number(1)?, number(2)? == 1))
}

/// Lowers the sums by what has left.
async fn settle(connection: &mut PgConnection, tenant: &[u8], left: &[(Place, u64)]) -> Result<(), Fault> {
    if !left.is_empty() {
        let apart = is_counted_apart(connection, tenant).await?;
        change(connection, &ledger::removals(tenant, apart, left)).await?;
    }
    Ok(())
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
        "DELETE FROM leaving WHERE tenant = $1",
        "DELETE FROM area_usage WHERE level = 0 AND tenant = $1",
        "DELETE FROM area_usage WHERE level = 1 AND tenant = $1",
        "DELETE FROM area_usage WHERE level = 2 AND tenant = $1",
    ] {
        execute(&mut transaction, sqlx::query(text).bind(tenant)).await?;
    }
    transaction.commit().await.map_err(Fault::Commit)
}

impl LedgerStatements for Postgres {
    async fn reserve_room(
        db: &mut Db<'_>,
        name: &UploadName,
        bytes: u64,
        caps: &Caps,
    ) -> Result<Room, Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let reserve = sqlx::query(RESERVE).bind(tenant).bind(name.as_str().as_bytes()).bind(integer(bytes));
        let found = fetch_optional(&mut transaction, reserve, |row| {
            Ok((ledger::place(row, 0)?, rows::Columns::integer(row, 2)? == Some(1)))
        });
        let Some((place, apart)) = found.await? else {
            transaction.rollback().await?;
            return Ok(Room::Gone);
        };
        let sums = change(&mut transaction, &ledger::additions(tenant, apart, &place, bytes)).await?;
        if let Some(short) = ledger::shortage(caps, &sums) {
            transaction.rollback().await?;
            return Ok(short);
        }
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Room::Reserved)
    }

    async fn left_uploads(db: &mut Db<'_>, names: &[UploadName]) -> Result<(), Fault> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_str().as_bytes()).collect();
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let left = sqlx::query(LEFT).bind(tenant).bind(names).bind(false);
        let left: Vec<_> = fetch_all(&mut transaction, left, left_row).await?;
        settle(&mut transaction, tenant, &left).await?;
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn left_objects(db: &mut Db<'_>, names: &[ObjectName]) -> Result<(), Fault> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_str().as_bytes()).collect();
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let left = sqlx::query(LEFT).bind(tenant).bind(&names).bind(true);
        let mut all: Vec<_> = fetch_all(&mut transaction, left, left_row).await?;
        let left = sqlx::query(LEFT_DEPARTED).bind(tenant).bind(&names);
        all.append(&mut fetch_all(&mut transaction, left, left_row).await?);
        settle(&mut transaction, tenant, &all).await?;
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
        let statement = sqlx::query(USAGE).bind(tenant).bind(level as i16).bind(repository).bind(scope);
        Ok(fetch_optional(db.connection, statement, |row| ledger::sum(row, 0)).await?.unwrap_or(0))
    }

    async fn parts(
        db: &mut Db<'_>,
        level: Level,
        repository: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<(Place, u64)>, Fault> {
        let text = if repository.is_some() { PARTS_OF_REPOSITORY } else { PARTS };
        let mut statement = sqlx::query(text).bind(db.tenant()).bind(level as i16).bind(limit(most));
        if let Some(repository) = repository {
            statement = statement.bind(repository.to_vec());
        }
        let part = |row: &sqlx::postgres::PgRow| {
            let place = Place { repository: rows::value(row, 0)?, scope: rows::value(row, 1)? };
            Ok((place, ledger::sum(row, 2)?))
        };
        fetch_all(db.connection, statement, part).await
    }

    async fn set_orphans(db: &mut Db<'_>, bytes: u64) -> Result<(), Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let (known, _, apart) = lock_tenant(&mut transaction, tenant).await?;
        change(&mut transaction, &ledger::of_tenant(tenant, apart, integer(bytes) - known)).await?;
        execute(&mut transaction, sqlx::query(SET_ORPHANS).bind(tenant).bind(integer(bytes))).await?;
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn set_counted_apart(db: &mut Db<'_>, apart: bool) -> Result<(), Fault> {
        let tenant = db.tenant();
        if is_counted_apart(db.connection, tenant).await? == apart {
            return Ok(());
        }
        let mut transaction = db.connection.begin().await?;
        let (_, bytes, known) = lock_tenant(&mut transaction, tenant).await?;
        if known != apart {
            change(&mut transaction, &ledger::of_server(if apart { -bytes } else { bytes })).await?;
            execute(&mut transaction, sqlx::query(SET_APART).bind(tenant).bind(apart)).await?;
        }
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn recount(connection: &mut PgConnection) -> Result<u64, Fault> {
        let mut transaction = connection.begin().await?;
        execute(&mut transaction, sqlx::query("SET LOCAL statement_timeout = 0")).await?;
        // No transaction that changes sums is under way from here on. Statements see what those before
        // have committed; what others have changed and not counted yet they do not see.
        execute(&mut transaction, sqlx::query("LOCK TABLE area_usage IN EXCLUSIVE MODE")).await?;
        let tenants =
            sqlx::query("SELECT tenant, orphan_bytes, apart::int::bigint FROM area_usage WHERE level = 2");
        let stored = sqlx::query("SELECT level::bigint, tenant, repository, scope, bytes FROM area_usage");
        let counted = Counted {
            tenants: fetch_all(&mut transaction, tenants, ledger::counted_tenant).await?,
            rows: fetch_all(&mut transaction, sqlx::query(EXPECTED), ledger::counted_row).await?,
            stored: fetch_all(&mut transaction, stored, ledger::stored_sum).await?,
        };
        let wrong = counted.differences();
        for some in wrong.chunks(MAX_CHANGES) {
            change(&mut transaction, some).await?;
        }
        let set = sqlx::query("UPDATE properties SET value = $2 WHERE name = $1");
        execute(&mut transaction, set.bind(USAGE_PROPERTY).bind(COUNTED)).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(wrong.len() as u64)
    }

    async fn is_uncounted(connection: &mut PgConnection) -> Result<bool, Fault> {
        let asked = sqlx::query("SELECT 1 FROM properties WHERE name = $1 AND value = $2");
        Ok(asked.bind(USAGE_PROPERTY).bind(UNCOUNTED).fetch_optional(connection).await?.is_some())
    }

    async fn set_uncounted(connection: &mut PgConnection) -> Result<(), Fault> {
        let set = sqlx::query("UPDATE properties SET value = $2 WHERE name = $1");
        execute(connection, set.bind(USAGE_PROPERTY).bind(UNCOUNTED)).await?;
        Ok(())
    }
}

/// Sums in one statement of a recount.
const MAX_CHANGES: usize = 1_000;

fn left_row(row: &sqlx::postgres::PgRow) -> sqlx::Result<(Place, u64)> {
    Ok((ledger::place(row, 0)?, ledger::sum(row, 2)?))
}
