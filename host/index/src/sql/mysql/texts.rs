//! The texts of the statements.
//!
//! Lists are passed as JSON, so that one statement fits lists of any length.

use crate::{facts::detail_columns, max_clock_skew_ms};

/// The columns that `rows::entry` reads, as the list of a `SELECT`.
macro_rules! entry_columns {
    () => {
        "id, repository, scope, version, `key`, object, size_bytes, created_ms, used_ms, owner"
    };
}

/// The columns that `rows::upload` reads, as the list of a `SELECT`.
macro_rules! upload_columns {
    () => {
        "id, repository, scope, version, `key`, name, owner, created_ms, active_ms, object, size_bytes, trust"
    };
}

pub(super) use {entry_columns, upload_columns};

/// Without what is in quarantine.
pub(super) const ENTRY_BY_ID: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries WHERE tenant = ? AND id = ? AND quarantined_ms IS NULL"
);

pub(super) const ENTRY_BY_SLOT: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE tenant = ? AND slot = ?");

pub(super) const ENTRY_BY_UPLOAD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries FORCE INDEX (entries_by_upload) WHERE tenant = ? AND upload = ?"
);

pub(super) const UPLOAD_BY_ID: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ? AND id = ?");

pub(super) const UPLOAD_BY_NAME: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ? AND name = ?");

pub(super) const UPLOAD_BY_SLOT: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ? AND slot = ?");

/// Waits for transactions that insert or delete an upload of this slot.
pub(super) const INSERT_UPLOAD: &str = "INSERT INTO uploads \
     (tenant, slot, place, repository, scope, version, `key`, name, owner, created_ms, active_ms, folded, facts, trust) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Waits for transactions that change the row, and locks it.
pub(super) const LOCK_UPLOAD: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ? AND id = ? FOR UPDATE");

pub(super) const RENEW: &str = "UPDATE uploads SET created_ms = ?, active_ms = ? \
     WHERE tenant = ? AND id = ? AND created_ms = ? AND active_ms = ? AND object IS NULL";

pub(super) const ATTACH: &str = concat!(
    "UPDATE uploads SET object = ?, size_bytes = ?, digest = ?, active_ms = IF(active_ms - ",
    max_clock_skew_ms!(),
    " > ?, ?, GREATEST(active_ms, ?)) WHERE tenant = ? AND id = ?"
);

/// Copies the row of an upload with its attachment.
pub(super) const INSERT_ENTRY: &str = "INSERT INTO entries \
     (tenant, slot, place, repository, scope, version, `key`, folded, key_head, block, object, size_bytes, created_ms, used_ms, \
     boot, upload, owner, uses, facts, trust, digest) \
     SELECT tenant, slot, place, repository, scope, version, `key`, folded, LEFT(COALESCE(folded, `key`), 255), 0, object, \
     size_bytes, ?, ?, ?, id, owner, 0, facts, trust, digest FROM uploads WHERE tenant = ? AND id = ?";

/// A separate statement, because a generated column cannot use the automatic number.
pub(super) const SET_BLOCK: &str = "UPDATE entries SET block = id >> 12 WHERE tenant = ? AND id = ?";

/// A list of numbers and times, or of names and times, as a table.
macro_rules! uses {
    ($id:literal) => {
        concat!("JSON_TABLE(?, '$[*]' COLUMNS (id ", $id, " PATH '$[0]', at BIGINT PATH '$[1]')) AS used")
    };
}

/// A list of names as a table.
macro_rules! names {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (name VARCHAR(128) CHARACTER SET utf8mb4 PATH '$')) AS names"
    };
}

/// `uses` is set first: a server may set the columns one after the other.
pub(super) const TOUCH_ENTRIES: &str = "UPDATE \
     JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', at BIGINT PATH '$[1]', added BIGINT PATH '$[2]')) AS used \
     STRAIGHT_JOIN entries ON entries.id = used.id \
     SET entries.uses = entries.uses + used.added, entries.used_ms = GREATEST(entries.used_ms, used.at) \
     WHERE entries.tenant = ? AND entries.used_ms <> used.at";

pub(super) const ENTRY_DETAILS: &str = concat!(
    "SELECT entries.id, object, ",
    detail_columns!(),
    " FROM ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id WHERE entries.tenant = ?"
);

/// Counts the row also if it does not change: the connection asks for rows found (`CLIENT_FOUND_ROWS`).
/// A deletion is waited for, and its outcome is seen here, by the lock; a consistent read after it may
/// still have the row. `uses` is set first, as above.
pub(super) const TOUCH_ENTRY: &str = "UPDATE entries \
     SET uses = IF(used_ms <> ?, uses + 1, uses), used_ms = GREATEST(used_ms, ?) WHERE tenant = ? AND id = ?";

pub(super) const UPLOAD_FACTS: &str = "SELECT facts FROM uploads WHERE tenant = ? AND id = ?";

/// The columns are set in this order, each by the stored values of those after it.
pub(super) const NAME_REPOSITORY: &str = "INSERT INTO repositories (tenant, repository, name, folded, named_ms) \
     VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE \
     name = IF(VALUES(named_ms) >= named_ms, VALUES(name), name), \
     folded = IF(VALUES(named_ms) >= named_ms, VALUES(folded), folded), \
     named_ms = GREATEST(named_ms, VALUES(named_ms))";

/// All but the latest. The last parameter is their number less one.
pub(super) const FORGET_OLD_NAMES: &str = "DELETE FROM repositories \
     WHERE tenant = ? AND (named_ms, repository) < (SELECT named_ms, repository FROM ( \
       SELECT named_ms, repository FROM repositories FORCE INDEX (repositories_by_age) \
       WHERE tenant = ? ORDER BY named_ms DESC, repository DESC LIMIT 1 OFFSET ?) AS last)";

pub(super) const REPOSITORY_NAME: &str = "SELECT name FROM repositories WHERE tenant = ? AND repository = ?";

pub(super) const NAMESAKES: &str = "SELECT repository FROM repositories FORCE INDEX (repositories_by_name) \
     WHERE tenant = ? AND folded = ? ORDER BY named_ms DESC LIMIT ?";

pub(super) const CAP_LAST_USED: &str = concat!(
    "UPDATE ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id \
     SET entries.used_ms = used.at WHERE entries.tenant = ? AND entries.used_ms > used.at"
);

pub(super) const TOUCH_UPLOADS: &str = concat!(
    "UPDATE ",
    uses!("VARCHAR(32) CHARACTER SET utf8mb4"),
    " STRAIGHT_JOIN uploads ON uploads.name = CAST(used.id AS BINARY) \
     SET uploads.active_ms = used.at \
     WHERE uploads.tenant = ? AND (uploads.active_ms < used.at OR uploads.active_ms - ",
    max_clock_skew_ms!(),
    " > used.at)"
);

pub(super) const MARK_DURABLE: &str = concat!(
    "UPDATE ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id SET entries.boot = NULL \
     WHERE entries.tenant = ? AND entries.boot IS NOT NULL"
);

pub(super) const VOLATILE_HERE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries FORCE INDEX (entries_volatile) \
     WHERE tenant = ? AND boot = ? AND id > ? ORDER BY id LIMIT ?"
);

/// Volatile entries are few.
pub(super) const VOLATILE_ELSEWHERE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries FORCE INDEX (entries_volatile) \
     WHERE tenant = ? AND boot IS NOT NULL AND boot <> ? AND id > ? ORDER BY id LIMIT ?"
);

pub(super) const ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries FORCE INDEX (entries_by_tenant) \
     WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"
);

pub(super) const UPLOADS: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM uploads FORCE INDEX (uploads_by_tenant) \
     WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"
);

/// One statement for both tables, because a finalize moves the reference from one to the other.
pub(super) const REFERENCED: &str = concat!(
    "SELECT entries.object FROM ",
    names!(),
    " STRAIGHT_JOIN entries FORCE INDEX (entries_by_object) ON entries.object = CAST(names.name AS BINARY) \
     WHERE entries.tenant = ? \
     UNION ALL SELECT uploads.object FROM ",
    names!(),
    " STRAIGHT_JOIN uploads FORCE INDEX (uploads_by_object) ON uploads.object = CAST(names.name AS BINARY) \
     WHERE uploads.tenant = ?"
);

pub(super) const EXISTING: &str = concat!(
    "SELECT uploads.name FROM ",
    names!(),
    " STRAIGHT_JOIN uploads ON uploads.tenant = ? AND uploads.name = CAST(names.name AS BINARY)"
);

pub(super) const INSERT_SECRET: &str = "INSERT INTO secrets (tenant, name, value) VALUES (?, ?, ?)";

pub(super) const SECRET: &str = "SELECT value FROM secrets WHERE tenant = ? AND name = ?";

/// Whether a tenant has rows.
pub(super) const HAS_ROWS: &str = "(SELECT 1 FROM entries FORCE INDEX (entries_by_tenant) WHERE tenant = ? LIMIT 1) \
     UNION ALL (SELECT 1 FROM uploads FORCE INDEX (uploads_by_tenant) WHERE tenant = ? LIMIT 1)";

/// Deletes what is left of a tenant without rows from a table.
macro_rules! forget {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE tenant = ? \
             AND NOT EXISTS (SELECT 1 FROM entries WHERE tenant = ?) \
             AND NOT EXISTS (SELECT 1 FROM uploads WHERE tenant = ?)"
        )
    };
}

pub(super) const FORGET_NAMES: &str = forget!("repositories");

pub(super) const FORGET_DEPARTED: &str = forget!("departed");

pub(super) const FORGET_SECRETS: &str = forget!("secrets");

pub(super) const FORGET_REFUSALS: &str = forget!("refusals");
pub(super) const FORGET_HISTORY: &str = forget!("history");
pub(super) const FORGET_WRITERS: &str = forget!("history_writers");

/// One step in an index of each table.
pub(super) const NEXT_TENANT: &str = "SELECT name FROM (
       (SELECT tenant AS name FROM entries FORCE INDEX (entries_by_tenant)
         WHERE tenant > ? ORDER BY tenant LIMIT 1)
       UNION ALL (SELECT tenant FROM uploads FORCE INDEX (uploads_by_tenant)
         WHERE tenant > ? ORDER BY tenant LIMIT 1)
       UNION ALL (SELECT tenant FROM secrets WHERE tenant > ? ORDER BY tenant LIMIT 1)
     ) AS next ORDER BY name LIMIT 1";
