//! The texts of the statements.
//!
//! Lists are passed as JSON, so that one statement fits lists of any length.

use crate::max_clock_skew_ms;

/// The columns that `rows::entry` reads, as the list of a `SELECT`.
macro_rules! entry_columns {
    () => {
        "id, repository, scope, version, `key`, object, size_bytes, created_ms, used_ms, owner"
    };
}

/// The columns that `rows::upload` reads, as the list of a `SELECT`.
macro_rules! upload_columns {
    () => {
        "id, repository, scope, version, `key`, name, owner, created_ms, active_ms, object, size_bytes"
    };
}

pub(super) const ENTRY_BY_ID: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE tenant = ? AND id = ?");

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
     (tenant, slot, place, repository, scope, version, `key`, name, owner, created_ms, active_ms, folded) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Waits for transactions that change the row, and locks it.
pub(super) const LOCK_UPLOAD: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant = ? AND id = ? FOR UPDATE");

pub(super) const RENEW: &str = "UPDATE uploads SET created_ms = ?, active_ms = ? \
     WHERE tenant = ? AND id = ? AND created_ms = ? AND active_ms = ? AND object IS NULL";

pub(super) const ATTACH: &str = concat!(
    "UPDATE uploads SET object = ?, size_bytes = ?, active_ms = IF(active_ms - ",
    max_clock_skew_ms!(),
    " > ?, ?, GREATEST(active_ms, ?)) WHERE tenant = ? AND id = ?"
);

/// Copies the row of an upload with its attachment.
pub(super) const INSERT_ENTRY: &str = "INSERT INTO entries \
     (tenant, slot, place, repository, scope, version, `key`, folded, key_head, block, object, size_bytes, created_ms, used_ms, \
     boot, upload, owner) \
     SELECT tenant, slot, place, repository, scope, version, `key`, folded, LEFT(COALESCE(folded, `key`), 255), 0, object, \
     size_bytes, ?, ?, ?, id, owner FROM uploads WHERE tenant = ? AND id = ?";

/// A separate statement, because a generated column cannot use the automatic number.
pub(super) const SET_BLOCK: &str = "UPDATE entries SET block = id >> 12 WHERE tenant = ? AND id = ?";

pub(super) const DELETE_UPLOAD: &str = "DELETE FROM uploads WHERE tenant = ? AND id = ?";

pub(super) const DELETE_IDLE_UPLOAD: &str =
    "DELETE FROM uploads WHERE tenant = ? AND id = ? AND (active_ms < ? OR active_ms > ?)";

pub(super) const DELETE_ENTRY: &str = "DELETE FROM entries WHERE tenant = ? AND id = ?";

pub(super) const DELETE_UNUSED_ENTRY: &str =
    "DELETE FROM entries WHERE tenant = ? AND id = ? AND used_ms <= ?";

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

pub(super) const TOUCH_ENTRIES: &str = concat!(
    "UPDATE ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id \
     SET entries.used_ms = used.at \
     WHERE entries.tenant = ? AND entries.used_ms < used.at"
);

/// Counts the row also if it does not change: the connection asks for rows found (`CLIENT_FOUND_ROWS`).
/// A deletion is waited for, and its outcome is seen here, by the lock; a consistent read after it may
/// still have the row.
pub(super) const TOUCH_ENTRY: &str =
    "UPDATE entries SET used_ms = GREATEST(used_ms, ?) WHERE tenant = ? AND id = ?";

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

pub(super) const FORGET_SECRETS: &str = "DELETE FROM secrets WHERE tenant = ? \
     AND NOT EXISTS (SELECT 1 FROM entries WHERE tenant = ?) AND NOT EXISTS (SELECT 1 FROM uploads WHERE tenant = ?)";

/// One step in an index of each table.
pub(super) const NEXT_TENANT: &str = "SELECT name FROM (
       (SELECT tenant AS name FROM entries FORCE INDEX (entries_by_tenant)
         WHERE tenant > ? ORDER BY tenant LIMIT 1)
       UNION ALL (SELECT tenant FROM uploads FORCE INDEX (uploads_by_tenant)
         WHERE tenant > ? ORDER BY tenant LIMIT 1)
       UNION ALL (SELECT tenant FROM secrets WHERE tenant > ? ORDER BY tenant LIMIT 1)
     ) AS next ORDER BY name LIMIT 1";
