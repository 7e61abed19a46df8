//! The statements about refusals.

use rusqlite::params;

use super::{rows::integer, tenant::TenantConnection};

const NOTE: &str = "INSERT INTO refusals (tenant, mark, refused_ms) VALUES (?1, ?2, ?3) \
     ON CONFLICT (tenant, mark) DO UPDATE SET refused_ms = excluded.refused_ms";

pub(super) const FORGET_OLD: &str = "DELETE FROM refusals WHERE tenant = ?1 AND refused_ms < ?2";

pub(super) const IS_NOTED: &str = "SELECT 1 FROM refusals WHERE tenant = ?1 AND mark = ?2";

/// See [`crate::Index::note_refused`].
pub(super) fn note(
    conn: TenantConnection<'_>,
    marks: &[String],
    now_ms: u64,
    before_ms: u64,
) -> rusqlite::Result<()> {
    let mut note = conn.prepare(NOTE)?;
    for mark in marks {
        note.execute(params![conn.tenant(), mark.as_bytes(), integer(now_ms)])?;
    }
    conn.prepare(FORGET_OLD)?.execute(params![conn.tenant(), integer(before_ms)])?;
    Ok(())
}

/// See [`crate::Index::was_refused`].
pub(super) fn is_noted(conn: TenantConnection<'_>, marks: &[String]) -> rusqlite::Result<bool> {
    let mut look = conn.prepare(IS_NOTED)?;
    for mark in marks {
        if look.exists(params![conn.tenant(), mark.as_bytes()])? {
            return Ok(true);
        }
    }
    Ok(false)
}
